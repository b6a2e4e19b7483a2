"""A works in which machines fail: every alert replays to the same bits, of small files and of merged ones.

This is the short form, of ten minutes; ``make replay`` takes the hour.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.bench.plant import START_S
from tests.replay.conftest import edit, flip
from tests.replay.hour import TENANT, Orders, Recording, files, merged_and_swept, replays

ORDERS = Orders(
    seed=3,
    minutes=10,
    classes=("centrifugal-pump", "injection-molding-machine"),
    faster=60,
    learn_s=150,
    onset_s=180,
    growth_s=300,
    commit_s=20,
)
FLOWED = ("raw", "features", "scores")


@pytest.mark.timeout(600)
def test_every_alert_of_small_files_and_of_merged_ones(tmp_path):
    root = str(tmp_path)
    recording = Recording(ORDERS)
    historian = recording.keep(root)
    small = {table: files(root, table) for table in FLOWED}
    assert min(small.values()) >= 2 * ORDERS.seconds // ORDERS.commit_s
    before = replays(root)
    everything_is_exact(before)
    merged_and_swept(root, historian)
    assert {table: files(root, table) for table in FLOWED} == dict.fromkeys(FLOWED, 2), "one a class"
    after = replays(root)
    everything_is_exact(after)
    assert list(after) == list(before)
    a_spoilt_bit_of_a_merged_file_is_found(root)


def everything_is_exact(found):
    assert len(found) >= 3, "alerts of several machines"
    assert {one.asset_class for one in found.values()} == set(ORDERS.classes)
    assert max(len(one.configs) for one in found.values()) == 2, "the config was changed on the way"
    for name, one in found.items():
        assert one.same, f"{name}: {[hop.first for hop in one.hops]}"
        assert one.exact
        assert one.notes == []
        assert [hop.name for hop in one.hops] == ["features", "scores", "events"]
        assert all(hop.rows == hop.equal > 0 for hop in one.hops)


def a_spoilt_bit_of_a_merged_file_is_found(root: str) -> None:
    """By the alerts of its class; those of the other still are the same."""
    at = pa.scalar((START_S + 100) * 10**6, pa.timestamp("us", "UTC"))
    sample = (pc.field("asset") == "centrifugal-pump-001") & (pc.field("signal") == "vibration-de")
    edit(root, "raw", sample & (pc.field("source_time") == at), "value", lambda value: flip(value, 30), TENANT)
    differ = {one.asset_class: one.differs for one in replays(root).values()}
    assert differ == {"centrifugal-pump": "features", "injection-molding-machine": ""}
