"""What lies in an object store is replayed, asked and traced as from a folder."""

from __future__ import annotations

import json
import shutil
import subprocess

import pyarrow.fs as pafs
import pytest

from tests.replay.conftest import store_config, the_alert
from tests.support.lines import LINE
from tests.support.seaweed import BUCKET, KEYS
from tests.support.station import COMMAND
from wheeltapper_api.config import Role, WorkerConfig
from wheeltapper_cli import places
from wheeltapper_workers.history.place import open_place
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.replay import replay

COUNTED = (
    "SELECT asset, count(*) AS n, bit_xor(hash(value, source_time)) AS all_of_it FROM raw GROUP BY asset ORDER BY asset"
)


@pytest.fixture
def state(root, live, seaweed, tmp_path):
    """State folder of an installation whose tables are elsewhere."""
    seaweed.filesystem().create_dir(f"{BUCKET}/replayed")
    pafs.copy_files(root, f"{BUCKET}/replayed", destination_filesystem=seaweed.filesystem())
    folder = tmp_path / "state"
    folder.mkdir()
    seaweed.secrets(folder / "secrets")
    store = store_config(live.configs).model_copy(update={"place": seaweed.place("replayed", "reader")})
    places.remember(folder, [WorkerConfig(worker="w", tenant=LINE.tenant, roles=[Role.STORE], store=store)])
    return folder


def wheeltapper(state, *arguments):
    return subprocess.run(
        [*COMMAND, *arguments, "--state", str(state)], capture_output=True, text=True, timeout=110, check=False
    )


def test_replay_and_questions_say_the_same_as_from_the_folder(root, live, state, seaweed):
    store = open_place("", seaweed.place("replayed", "reader"), state / "secrets")
    found = replay(store.root, LINE.tenant, the_alert(root), storage_options=store.options)
    assert found.same
    assert found.rows == replay(root, LINE.tenant, the_alert(root)).rows
    here = query(root, COUNTED, LINE.tenant).to_pylist()
    assert query(store.root, COUNTED, LINE.tenant, storage_options=store.options).to_pylist() == here


def test_commands_find_the_tables_and_show_no_key(root, state):
    alert = the_alert(root)
    replayed = wheeltapper(state, "replay", alert[:8], "--output", "json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["differs"] == ""
    counted = wheeltapper(state, "query", "SELECT count(*) AS n FROM events", "--output", "json")
    assert json.loads(counted.stdout)[0]["n"] > 0, counted.stderr
    assert alert in wheeltapper(state, "get", "alerts", "--all", "--output", "json").stdout
    assert wheeltapper(state, "trace", alert[:8]).returncode == 0
    shutil.rmtree(state / "secrets" / "reader")
    refused = wheeltapper(state, "query", "SELECT 1 FROM raw")
    assert refused.returncode == 2
    assert "The Secret reader has no accessKeyId" in refused.stderr
    told = replayed.stderr + counted.stderr + refused.stderr + (state / "tables.json").read_text()
    assert not any(secret in told for secret in KEYS.values())


def test_store_that_cannot_be_reached_is_said_in_a_sentence(state):
    told = json.loads((state / "tables.json").read_text())
    told[LINE.tenant]["endpoint"] = "http://127.0.0.1:9"
    (state / "tables.json").write_text(json.dumps(told))
    found = wheeltapper(state, "query", "SELECT 1 FROM raw")
    assert found.returncode == 1
    assert "cannot be reached" in found.stderr
    assert "Traceback" not in found.stderr
