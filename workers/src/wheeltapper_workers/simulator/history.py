"""A healthy past of the plant as a Parquet file, from which baselines are learned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.plant import Chunk, State, simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.signals import AMBIENT, SIGNAL_NAMES

ROW_GROUP_S: Final = 600
SCHEMA: Final = pa.schema(
    [
        ("time", pa.timestamp("ns", "UTC")),
        ("asset", pa.dictionary(pa.int32(), pa.utf8())),
        ("signal", pa.dictionary(pa.int32(), pa.utf8())),
        ("value", pa.float64()),
    ]
)


def write_history(
    scenario: Scenario,
    until_ns: int,
    duration_s: int,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the healthy past of all pumps in long form, one row group per 10 minutes, sorted by time.

    Faults are left out; the script's kept-running times count from `until_ns`, taken as the first live start. The
    station's ambient temperature is repeated for each pump, because each pump's twin reads that node as a signal of
    its own.

    Parameters
    ----------
    scenario : Scenario
    until_ns : int
        End (excluded), nanoseconds since the Unix epoch; rounded down to a second.
    duration_s : int
        Length of the past in seconds, at least 1.
    path : Path
        File to write; it appears only when complete.
    progress : callable, optional
        Called with (done_seconds, total_seconds) after each row group.

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
    healthy = scenario.model_copy(update={"faults": []})
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
            rows = _write_groups(writer, healthy, until_ns // NS, duration_s, progress)
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
    writer: pq.ParquetWriter,
    scenario: Scenario,
    until_s: int,
    duration_s: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    state: State | None = None
    rows = 0
    for start_s in range(until_s - duration_s, until_s, ROW_GROUP_S):
        end_s = min(start_s + ROW_GROUP_S, until_s)
        chunk = simulate(scenario, until_s, start_s, end_s, state)
        state = chunk.state
        batch = _long(scenario, chunk)
        writer.write_batch(batch, row_group_size=batch.num_rows)
        rows += batch.num_rows
        if progress is not None:
            progress(end_s - (until_s - duration_s), duration_s)
    return rows


def _long(scenario: Scenario, chunk: Chunk) -> pa.RecordBatch:
    n_assets, n_times = len(scenario.pumps), len(chunk.time_s)
    ambient = np.broadcast_to(chunk.ambient_cel, (n_assets, 1, n_times))
    values = np.concatenate([chunk.values, ambient], axis=1).transpose(2, 0, 1)
    signals = [*SIGNAL_NAMES, AMBIENT]
    per_second = n_assets * len(signals)
    asset = np.tile(np.repeat(np.arange(n_assets, dtype=np.int32), len(signals)), n_times)
    signal = np.tile(np.arange(len(signals), dtype=np.int32), n_times * n_assets)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.repeat(chunk.time_s * NS, per_second)).cast(SCHEMA.field("time").type),
            pa.DictionaryArray.from_arrays(pa.array(asset), pa.array(scenario.assets)),
            pa.DictionaryArray.from_arrays(pa.array(signal), pa.array(signals)),
            pa.array(np.ascontiguousarray(values).ravel()),
        ],
        schema=SCHEMA,
    )
