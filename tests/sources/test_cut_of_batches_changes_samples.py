"""Values, ordinals and flags do not depend on how samples were cut into batches."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from wheeltapper_workers.contracts.check import absorb, check
from wheeltapper_workers.contracts.checked import Checked
from wheeltapper_workers.contracts.raw import NO_TIME, RawBatch
from wheeltapper_workers.contracts.state import ContractState, initial
from wheeltapper_workers.contracts.table import series_table

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
APART = ("text", "bursts")
COLUMNS = [one.name for one in fields(Checked) if one.name not in APART]
ROWS = 600


def cut(raw, start, stop):
    columns = {one.name: getattr(raw, one.name)[start:stop] for one in fields(RawBatch) if one.name not in APART}
    apart = {
        name: {row - start: one for row, one in getattr(raw, name).items() if start <= row < stop} for name in APART
    }
    return RawBatch(**columns, **apart)


def run(table, raw, edges):
    state, parts, text = initial(table, NOW), [], {}
    for start, stop in zip([0, *edges], [*edges, len(raw)], strict=True):
        state, checked = check(state, cut(raw, start, stop), table)
        offset = sum(len(part) for part in parts)
        text |= {offset + row: one for row, one in checked.text.items()}
        text |= {offset + row: one.tobytes() for row, one in checked.bursts.items()}
        parts.append(checked)
    return state, {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}, text


def hard_samples(random, with_disorder):
    """Steps, spikes, NaN, text, bursts, missing, equal, backward and absurd times, repeated samples."""
    step = np.where(random.random(ROWS) < 0.3, 0, 1) if with_disorder else np.ones(ROWS, np.int64)
    time = NOW + np.cumsum(step) * SECOND
    if with_disorder:
        time = np.where(random.random(ROWS) < 0.1, time - 5 * SECOND, time)
        time = np.where(random.random(ROWS) < 0.05, 946_684_800 * SECOND, time)
        time = np.where(random.random(ROWS) < 0.05, NO_TIME, time)
    value = random.choice([0.0, 0.5, 1.0, 1.0, 1.0, 8.0, np.nan, 500.0], ROWS)
    status = random.choice([0, 0, 0, 0x80000000], ROWS).astype(np.uint32)
    text = {row: random.choice(["run", "jog"]) for row in np.flatnonzero(random.random(ROWS) < 0.1).tolist()}
    bursts = {row: random.integers(0, 3, 4) for row in np.flatnonzero(random.random(ROWS) < 0.2).tolist()}
    text = {row: one for row, one in text.items() if row not in bursts}
    value[[*text, *bursts]] = np.nan
    return RawBatch(
        series=random.integers(0, 5, ROWS).astype(np.int32),
        source_time_ns=time,
        value=value,
        quality=(status >> 31).astype(np.uint16),
        status=status,
        received_ns=NOW + np.arange(ROWS) * SECOND // 2,
        resent=random.random(ROWS) < 0.2,
        lost_before=random.random(ROWS) < 0.05,
        text=text,
        bursts=bursts,
    )


@pytest.mark.parametrize("with_disorder", [False, True])
def test_every_cut_gives_the_same_bits(collector, series, random, with_disorder):
    table = series_table(
        collector(
            series(max_rate=2.0, lowest=-10, highest=100),
            series(signal="speed", max_rate=0.1),
            series(signal="mode", kind="state", states={"run": 1}),
            series("p-102"),
            series("p-102", "burst", kind="waveform", sample_rate=4.0, burst_samples=4),
        )
    )
    raw = hard_samples(random, with_disorder)
    whole_state, whole, whole_text = run(table, raw, [])
    assert len(np.unique(whole["quality"])) > 5
    for edges in (range(1, ROWS), [300], sorted(random.choice(ROWS, 20, replace=False).tolist())):
        state, parts, text = run(table, raw, list(edges))
        for name in COLUMNS:
            assert whole[name].tobytes() == parts[name].tobytes(), name
        assert text == whole_text
        for one in fields(ContractState):
            if one.name == "memory":
                continue
            np.testing.assert_array_equal(getattr(state, one.name), getattr(whole_state, one.name), one.name)


@pytest.fixture
def table(collector, series):
    return series_table(
        collector(
            series(max_rate=2.0, lowest=-10, highest=100, scale=0.1),
            series(signal="speed", max_rate=0.1),
            series(signal="mode", kind="state", states={"run": 1}),
            series("p-102"),
            series("p-102", "burst", kind="waveform", sample_rate=4.0, burst_samples=4),
        )
    )


@pytest.mark.parametrize("known", [0, 1, 300, 599])
def test_state_is_the_same_when_it_is_read_back_from_what_was_written(table, random, known):
    raw = hard_samples(random, True)
    raw.resent[:] = False
    state, checked = check(initial(table, NOW), cut(raw, 0, known), table)
    read_back = initial(table, NOW)
    for line, block in checked.blocks(table):
        read_back = absorb(read_back, block, line, table)
    state, rest = check(state, cut(raw, known, ROWS), table)
    read_back, same = check(read_back, cut(raw, known, ROWS), table)
    for name in COLUMNS:
        assert getattr(rest, name).tobytes() == getattr(same, name).tobytes(), name
    for name in ("newest_ns", "newest_ordinal", "good_time_ns", "good_value", "last_time_ns", "last_digest", "samples"):
        np.testing.assert_array_equal(getattr(state, name), getattr(read_back, name), name)


@pytest.mark.parametrize("read_back", [False, True])
def test_what_is_sent_again_is_left_out_wherever_it_begins(table, random, read_back):
    raw = hard_samples(random, False)
    raw.resent[:] = False
    keep = ~np.isin(np.arange(ROWS), np.flatnonzero(raw.source_time_ns == NO_TIME))
    assert keep.all()
    _, whole, whole_text = run(table, raw, [])
    for written, acknowledged in ((400, 0), (400, 250), (1, 0), (599, 598)):
        state, checked = check(initial(table, NOW), cut(raw, 0, written), table)
        if read_back:
            state = initial(table, NOW)
            for line, block in checked.blocks(table):
                state = absorb(state, block, line, table)
        again = cut(raw, acknowledged, ROWS)
        again.resent[:] = True
        _, rest = check(state, again, table)
        for name in set(COLUMNS) - {"received_ns"}:
            both = np.concatenate([getattr(checked, name), getattr(rest, name)])
            assert both.tobytes() == whole[name].tobytes(), name
        assert len(whole_text) == len(checked.text) + len(checked.bursts) + len(rest.text) + len(rest.bursts) - sum(
            row in part.text for part in (checked, rest) for row in part.bursts
        )


def test_ordinals_agree_with_a_plain_loop(collector, series, random):
    table = series_table(collector(series(), series(signal="speed"), series("p-102"), series("p-103"), series("p-104")))
    raw = hard_samples(random, True)
    _, whole, _ = run(table, raw, [])
    newest, count = {}, {}
    for row in range(len(whole["series"])):
        at, time = int(whole["series"][row]), int(whole["source_time_ns"][row])
        if whole["quality"][row] & 64 or time < newest.get(at, 0):
            assert whole["ordinal"][row] >= 2**31
            continue
        count[at] = count[at] + 1 if time == newest.get(at) else 0
        newest[at] = time
        assert whole["ordinal"][row] == count[at]
