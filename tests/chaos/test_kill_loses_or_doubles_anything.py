"""Killed and stopped at random: no sample missing, none twice, and the alerts of an undisturbed run."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from tests.chaos import world
from tests.chaos.attack import Orders, attacked, ran
from tests.chaos.judge import Verdict, judge, undisturbed
from tests.chaos.plant import Machine, Settings
from wheeltapper_workers.history.tables import SCHEMAS

SECOND = 10**9
START = 1_800_000_000 * SECOND
SETTINGS = Settings(5, "opc.tcp://127.0.0.1:1", 1883, assets=2, period_ms=500, history=False, truth="")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2], ids=["without history", "with history"])
async def test_what_is_left_of_an_attacked_line_is_exact(tmp_path, seed):
    result = await attacked(Orders(seed, kills=8, pause_s=1.5, longest_stop_s=3.0, quiet_s=5.0), tmp_path)
    assert sum(result.attacks.values()) >= 8
    assert result.verdict.samples > 100
    assert result.verdict.exact, json.dumps(result.document(), indent=1)


@pytest.fixture(scope="module")
def recorded():
    """Truth of a minute, and the tables of a line that was not disturbed."""
    rows = [
        (SETTINGS.asset(number), signal, START + step * SECOND // 2, value)
        for number in range(SETTINGS.assets)
        for machine in [Machine(SETTINGS, number)]
        for step in range(120)
        for signal, value in machine.step(step).items()
    ]
    truth = pa.table(
        {
            "asset": [row[0] for row in rows],
            "signal": [row[1] for row in rows],
            "time_ns": pa.array([row[2] for row in rows], pa.int64()),
            "value": pa.array([float("nan") if isinstance(row[3], list) else row[3] for row in rows], pa.float64()),
            "burst": pa.array([row[3] if isinstance(row[3], list) else None for row in rows], pa.list_(pa.float64())),
        }
    )
    raw = pa.table(
        {
            "asset": truth["asset"],
            "signal": truth["signal"],
            "source_time": pa.array([row[2] // 1000 for row in rows], pa.timestamp("us", "UTC")),
            "source_nanos": pa.array([0] * len(rows), pa.int16()),
            "value": truth["value"],
            "samples": truth["burst"],
        }
    )
    configs = ran(world.plan(SETTINGS))
    begun = {(row[0], row[1]): START for row in rows}
    return truth, raw, [json.dumps(event) for event in undisturbed(truth, begun, configs)], configs


def told(recorded, raw=None, gaps=None, events=None):
    truth, whole, alerts, configs = recorded
    return judge(truth, whole if raw is None else raw, gaps or SCHEMAS["gaps"].empty_table(), events or alerts, configs)


def test_an_undisturbed_line_is_found_exact(recorded):
    verdict = told(recorded)
    assert verdict.exact
    assert (verdict.samples, verdict.alerts) == (recorded[0].num_rows, len(recorded[2]))
    assert verdict.alerts > 2


def _without(table, row):
    return pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


def test_a_missing_sample_is_found(recorded):
    assert len(told(recorded, raw=_without(recorded[1], 50)).missing) == 1


def test_a_missing_sample_that_the_ledger_tells_is_no_loss_of_ours(recorded):
    _, raw, _, _ = recorded
    row = raw.slice(50, 1).to_pylist()[0]
    time = pa.array([row["source_time"]], pa.timestamp("us", "UTC"))
    columns = {"asset": [row["asset"]], "signal": [row["signal"]], "recovered": [False], "since": time, "until": time}
    verdict = told(recorded, raw=_without(raw, 50), gaps=pa.table(columns))
    assert (verdict.missing, verdict.ledgered) == ([], 1)


def test_a_doubled_sample_is_found(recorded):
    _, raw, _, _ = recorded
    assert len(told(recorded, raw=pa.concat_tables([raw, raw.slice(50, 1)])).doubled) == 1


def test_another_value_is_found(recorded):
    _, raw, _, _ = recorded
    values = raw["value"].to_pylist()
    values[0] += 1e-12
    changed = raw.set_column(raw.schema.get_field_index("value"), "value", pa.array(values, pa.float64()))
    assert len(told(recorded, raw=changed).wrong) == 1


def test_an_alert_that_is_missing_or_says_something_else_is_found(recorded):
    _, _, alerts, _ = recorded
    assert len(told(recorded, events=alerts[1:]).alerts_differ) == 1
    event = json.loads(alerts[0])
    event["data"]["score"] += 1e-9
    assert len(told(recorded, events=[json.dumps(event), *alerts[1:]]).alerts_differ) == 2
    assert isinstance(told(recorded), Verdict)
