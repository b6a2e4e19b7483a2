"""The disk is full or its files are spoilt: the work goes on, the words are clear, and nothing wrong is taken up."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.test_worker_killed_mid_stream import LAST, publish, role, stored, telemetry, undisturbed
from tests.support.disks import fill, small_disk
from tests.support.waiting import until
from wheeltapper_workers.runtime.checkpoint import Checkpoint, CheckpointStore, decode, encode
from wheeltapper_workers.runtime.step import Snapshot

CHECKPOINT = Checkpoint(
    7, "abc", 1, Snapshot({"a": np.arange(5), "b": np.array([1.5, np.nan])}, {"assets": ["p-1"], "x": 1})
)


async def test_a_full_disk_stops_nothing_and_is_told(server, tmp_path, caplog):
    batches = telemetry()
    client = await server.connect()
    with small_disk(tmp_path / "disk", 2) as disk:
        ballast = fill(disk)
        async with role(server, disk / "state") as (worker, task):
            await publish(client, batches[:30])
            await until(lambda: worker.progress.position >= 31)
            worker.checkpoint(force=True)
            assert "No space left" in worker.progress.problem
            assert "Free space" in caplog.text
            await publish(client, batches[30:40])
            await until(lambda: worker.progress.position >= 41)
            assert not task.done()
            ballast.unlink()
            worker.checkpoint(force=True)
            assert worker.progress.problem == ""
        async with role(server, disk / "state") as (worker, _):
            assert worker.progress.position >= 40
            await publish(client, batches[40:])
            await until(lambda: worker.progress.position >= LAST)
    await client.close()
    assert await stored(server) == undisturbed(batches)


def test_any_changed_byte_makes_a_checkpoint_unusable():
    data = bytearray(encode(CHECKPOINT))
    decode(bytes(data))
    for position in range(len(data)):
        for change in (0x01, 0x80):
            data[position] ^= change
            try:
                found = decode(bytes(data))
            except ValueError:
                pass
            else:
                # White space and the like of the first line may change without changing what it says.
                assert encode(found) == encode(CHECKPOINT), position
            data[position] ^= change


@pytest.mark.parametrize("length", range(0, 700, 13))
def test_any_length_of_the_rest_makes_a_checkpoint_unusable(length):
    data = encode(CHECKPOINT)
    with pytest.raises(ValueError, match="it"):
        decode(data[:length])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"layout": 2}\n',
        b'{"layout": 1}\nx',
        b"\xff\xfe\n",
        b"9" * 5000 + b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_file_that_is_no_checkpoint_is_passed_over(tmp_path, text, caplog):
    store = CheckpointStore(tmp_path, "featurize")
    store.save(CHECKPOINT)
    store.save(CHECKPOINT)
    (tmp_path / "featurize.checkpoint").write_bytes(text)
    assert encode(store.load(1)) == encode(CHECKPOINT)
    assert "going back to an earlier state" in caplog.text
    (tmp_path / "featurize.checkpoint.previous").write_bytes(text)
    assert store.load(1) is None
