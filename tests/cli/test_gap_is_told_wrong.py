"""``wheeltapper gaps``: each gap once, by the newest word on it, stored or not; and nothing else."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.lines import ASSETS, LINE, SECOND, SIGNALS, START
from tests.support.nats import Server
from tests.support.tables import Tables
from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import Stage
from wheeltapper_cli.main import cli
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.blocks import encode_names, encode_times, make_batch, to_bytes

SUBJECT = LINE.subject(Stage.GAPS, "scada")
CONFIG = StoreConfig(tenant=LINE.tenant, lines=[], commit_every_ns=1, commit_rows=1)
FIRST = (0, 0, 10, 20, "The server was restarted", False, 0)
SECOND_ONE = (1, 0, 30, 90, "The connection broke", False, 0)
NEWER_WORD = (0, 0, 10, 20, "The server was restarted", True, 9)


def block(*told) -> bytes:
    """Entries: asset, signal, seconds from and to, cause, recovered, samples."""
    asset, signal, since, until, cause, recovered, samples = zip(*told, strict=True)
    columns = {
        "asset": encode_names(ASSETS, np.array(asset)),
        "signal": encode_names(SIGNALS, np.array(signal)),
        "since": encode_times(START + np.array(since) * SECOND + 7),
        "until": encode_times(START + np.array(until) * SECOND),
        "cause": encode_names(list(cause), np.arange(len(cause))),
        "recovered": np.array(recovered),
        "samples": np.array(samples, np.uint32),
    }
    return to_bytes(make_batch(Stage.GAPS, columns))


def keep(tables, *blocks):
    historian = tables.historian(CONFIG)
    for sequence, data in enumerate(blocks, 1):
        assert historian.add(Stage.GAPS, sequence, START, SUBJECT, data) is None
    historian.commit()


def call(state, *arguments, code=0):
    found = CliRunner().invoke(cli, ["gaps", "--state", str(state), *arguments], env={"COLUMNS": "200"})
    assert "Traceback" not in found.output
    assert found.exit_code == code, found.output
    return found


def shown(state, *arguments):
    found = json.loads(call(state, *arguments, "--output", "json").stdout)
    return [(one["twin"], one["signal"], one["from"], one["to"], one["recovered"]) for one in found]


OLD = ("p-1", "vibration", "2023-11-14T22:13:30.000Z", "2023-11-14T22:13:40.000Z", False)
NEW = (*OLD[:4], True)
OTHER = ("p-2", "vibration", "2023-11-14T22:13:50.000Z", "2023-11-14T22:14:50.000Z", False)


def test_newest_word_on_each_gap(tables, tmp_path):
    keep(tables, block(FIRST, SECOND_ONE), block(NEWER_WORD))
    state = tables.remembered(tmp_path, LINE.tenant)
    assert shown(state) == [NEW, OTHER]
    assert shown(state, "--twin", "p-2") == [OTHER]
    assert shown(state, "--since", "2023-11-14T22:14") == [OTHER]
    assert shown(state, "--since", "1d") == []
    text = call(state).stdout
    assert "p-2" in text
    assert "The connection broke" in text
    assert "2023-11-14 22:13:50" in text
    assert "No gaps" in call(state, "--twin", "p-9").stdout


@pytest.mark.parametrize("kept", [0, 1], ids=["nothing stored yet", "some stored"])
def test_running_installation_tells_what_is_not_stored_yet(tmp_path, monkeypatch, kept):
    server = Server(tmp_path)
    (tmp_path / "tables" / LINE.tenant).mkdir(parents=True)
    told = [block(FIRST, SECOND_ONE), block(NEWER_WORD)]

    async def publish():
        await server.ready()
        await server.streams()
        client = await server.connect()
        for data in told:
            await client.jetstream().publish(SUBJECT, data)
        await client.close()

    try:
        server.start()
        asyncio.run(publish())
        if kept:
            keep(Tables(Store(str(tmp_path / "tables"))), *told[:kept])
        monkeypatch.setattr(
            "wheeltapper_cli.gaps.access_of_running", lambda _: {LINE.tenant: (server.url, server.credentials)}
        )
        assert shown(tmp_path) == [NEW, OTHER]
        assert shown(tmp_path, "--twin", "p-1") == [NEW]
    finally:
        server.kill()


def test_wrong_arguments_end_with_2_and_a_remedy(tables, tmp_path):
    keep(tables, block(FIRST))
    state = tables.remembered(tmp_path, LINE.tenant)
    assert "--since monday is no time" in call(state, "--since", "monday", code=2).stderr
    assert "name it with --state" in call(tmp_path / "none", code=2).stderr
