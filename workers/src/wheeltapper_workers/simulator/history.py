"""The past of a plant as a Parquet file, healthy unless asked otherwise: from it baselines are learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.served import Plant

SCHEMA: Final = pa.schema(
    [
        ("time", pa.timestamp("ns", "UTC")),
        ("asset", pa.dictionary(pa.int32(), pa.utf8())),
        ("signal", pa.dictionary(pa.int32(), pa.utf8())),
        ("value", pa.float64()),
    ]
)


def write_history(
    plant: Plant,
    until_ns: int,
    duration_s: int,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    faults: bool = False,
) -> int:
    """Write the past of all machines in long form, sorted by time, in row groups of some minutes.

    Parameters
    ----------
    plant : Plant
    until_ns : int
        End (excluded), nanoseconds since the Unix epoch; rounded down to a second.
    duration_s : int
        Length of the past in seconds, at least 1.
    path : Path
        File to write; it appears only when complete.
    progress : callable, optional
        Called with (done_seconds, total_seconds) after each row group.
    faults : bool
        Let the scenario's faults happen, their times counted from the beginning; else the machines are healthy.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    SimulatorError
        If the duration is below one second or the file cannot be written.
    """
    if duration_s < 1:
        raise SimulatorError(f"A history of {duration_s} s is empty: ask for at least 1 s.")
    until_s = until_ns // NS
    batches = plant.bulk(until_s - duration_s, until_s, faults=faults)
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Values are mostly distinct, so a dictionary would only cost time and space; splitting their bytes compresses.
        with pq.ParquetWriter(
            draft,
            SCHEMA,
            compression="zstd",
            use_dictionary=["asset", "signal"],
            column_encoding={"value": "BYTE_STREAM_SPLIT", "time": "DELTA_BINARY_PACKED"},
        ) as writer:
            tell = (lambda done: progress(done, duration_s)) if progress else (lambda _: None)
            rows = _write_groups(writer, batches, until_s - duration_s, tell)
        draft.replace(path)
    except OSError as error:
        raise SimulatorError(
            f"History {path} cannot be written: {error}. Free space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # the folder itself may be what cannot be written
            draft.unlink(missing_ok=True)
    return rows


def _write_groups(
    writer: pq.ParquetWriter, batches: Iterator[tuple[int, pa.RecordBatch]], start_s: int, tell: Callable[[int], None]
) -> int:
    rows = 0
    for until_s, batch in batches:
        writer.write_batch(batch, row_group_size=max(1, batch.num_rows))
        rows += batch.num_rows
        tell(until_s - start_s)
    return rows
