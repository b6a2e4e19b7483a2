"""What a line's streams hold, read back."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tests.support.drive import rows
from tests.support.lines import LINE
from wheeltapper_api.wire import HEADER_TICK, Stage
from wheeltapper_workers.runtime.blocks import from_bytes
from wheeltapper_workers.runtime.jetstream import StreamReader


async def stored_batches(client: Any, stage: Stage) -> list[pa.RecordBatch]:
    """Batches of the blocks of a stage, without the ticks between them."""
    reader = StreamReader(client, stage.stream, [LINE.filter(stage)], position=0)
    found: list[Any] = []
    count = (await client.jetstream().stream_info(stage.stream)).state.messages
    while len(found) < count:
        found.extend(await reader.read(100))
    await reader.close()
    return [from_bytes(message.data, stage) for message in found if HEADER_TICK not in message.headers]


async def stored_rows(client: Any, stage: Stage, without: tuple[str, ...] = ()) -> list[dict]:
    """Rows of the blocks of a stage, NaN as text."""
    return rows(await stored_batches(client, stage), without)
