"""``wheeltapper retention`` and the holds of ``wheeltapper evidence``: what they print, and how they end."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.replay.conftest import keep, live, the_alert
from tests.support.lines import LINE
from tests.support.station import ROOT
from tests.support.tables import Tables
from wheeltapper_cli.main import cli
from wheeltapper_workers.history.retention import DAY_NS

__all__ = ["live"]


@pytest.fixture
def state(live, tables, tmp_path) -> Path:
    keep(live, tables.root, storage_options=tables.options)
    return tables.remembered(tmp_path, LINE.tenant)


@pytest.fixture
def files(tmp_path) -> str:
    """The pump station, whose tenant has the name of the line's, keeping what is around no alert."""
    folder = tmp_path / "station"
    shutil.copytree(ROOT / "examples" / "pump-station", folder)
    tenant = folder / "tenant.yaml"
    tenant.write_text(tenant.read_text().replace("aroundIncidents: 1825d", "aroundIncidents: 1d"))
    return str(folder)


@pytest.fixture
def in_two_months(monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr("wheeltapper_cli.retention.time.time_ns", lambda: now + 60 * DAY_NS)


def call(*arguments: str, code: int = 0):
    found = CliRunner().invoke(cli, [*arguments])
    assert "Traceback" not in found.output
    assert found.exit_code == code, found.output
    return found


def rows(tables: Tables) -> int:
    return tables.store.dataset(LINE.tenant, "raw").count_rows()


@pytest.mark.usefixtures("in_two_months")
def test_looking_removes_nothing(state, tables, files):
    found = call("retention", files, "--state", str(state))
    assert "northwater keeps raw 30d, features 400d" in found.stdout
    assert "raw      2023-11-14  riverside/pump  4,800 rows" in found.stdout
    assert rows(tables) == 4800
    call("retention", files, "--state", str(state), "--apply")
    assert rows(tables) == 0


@pytest.mark.usefixtures("in_two_months")
def test_hold_and_release(state, tables, files):
    alert = the_alert(tables.root, tables.options)
    held = call("evidence", "hold", "p-2-wear", "--reason", "Claim 4711", "--state", str(state))
    assert f"wheeltapper evidence release {alert}" in held.stdout
    (hold,) = json.loads(call("evidence", "holds", "--state", str(state), "--output", "json").stdout)
    assert (hold["alertId"], hold["reason"]) == (alert, "Claim 4711")
    told = json.loads(call("retention", files, "--state", str(state), "--apply", "--output", "json").stdout)
    assert told["northwater"]["expired"] == []
    assert {(one["alert"], one["held"]) for one in told["northwater"]["pinned"]} == {(alert, True)}
    call("evidence", "release", alert, "--state", str(state))
    assert "No holds" in call("evidence", "holds", "--state", str(state)).stdout
    call("retention", files, "--state", str(state), "--apply")
    assert rows(tables) == 0


def test_wrong_arguments_end_with_2_and_a_remedy(state, files, tmp_path):
    assert "start with wheeltapper up" in call("retention", files, "--state", str(tmp_path / "none"), code=2).stderr
    assert "list them with" in call("evidence", "release", "p-9", "--state", str(state), code=2).stderr
    found = call("evidence", "hold", "p-9", "--reason", "x", "--state", str(state), code=2)
    assert "No alert of northwater has an id" in found.stderr
    for words in (["retention"], ["evidence", "hold"], ["evidence", "release"], ["evidence", "holds"]):
        assert "Examples:" in call(*words, "--help").stdout
