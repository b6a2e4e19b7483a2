"""Takes from a tenant's tables what retention says.

What goes is written down first, in the table ``removed``. Rows go by whole days, which changes the table's log and no
file; a writer that commits meanwhile, in this process or another, makes one of the two try again. The files are swept
away with all others that no table needs (:mod:`wheeltapper_workers.history.sweeping`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from wheeltapper_api.config import RetentionConfig
from wheeltapper_workers.alerts.compose import time_ns
from wheeltapper_workers.history.holds import holds
from wheeltapper_workers.history.retention import Decision, Incident, Part, ages_ns, day_text, decide
from wheeltapper_workers.history.tables import REMOVED, SCHEMAS, Store

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 5


def look(store: Store, tenant: str, retention: RetentionConfig, now_ns: int) -> Decision:
    """What is to go now, and what alerts keep.

    Raises
    ------
    QueryError
        If a hold cannot be read.
    DeltaError, OSError
        If the tables cannot be read.
    """
    held = {hold.alert_id for hold in holds(store, tenant)}
    parts = [part for table in ages_ns(retention) for part in parts_of(store.open(tenant, table), table)]
    return decide(retention, parts, incidents(store, tenant), held, now_ns)


def clean(store: Store, tenant: str, retention: RetentionConfig, now_ns: int) -> list[Part]:
    """Remove what is to go now; returns it.

    Raises
    ------
    QueryError
        If a hold cannot be read; then nothing is removed.
    DeltaError, OSError
        If the tables cannot be read or written; what was not removed is another time.
    """
    expired = look(store, tenant, retention, now_ns).expired
    if expired:
        _write_down(store, tenant, expired, retention, now_ns)
        for table in ages_ns(retention):
            _remove(store, tenant, table, [part for part in expired if part.table == table])
    return expired


def parts_of(table: DeltaTable | None, name: str) -> Iterator[Part]:
    """Days of a table, by what its log says of its files."""
    if table is None:
        return
    actions = pa.table(table.get_add_actions(flatten=True))
    keys = [f"partition.{key}" for key in ("plant", "class", "day")]
    sums = [("num_records", "sum"), ("size_bytes", "sum"), ("modification_time", "max")]
    for row in actions.group_by(keys).aggregate(sums).to_pylist():
        plant, asset_class, day = (row[key] for key in keys)
        yield Part(
            table=name,
            plant=plant,
            asset_class=asset_class,
            day=int(np.datetime64(day, "D").astype(int)),
            rows=row["num_records_sum"] or 0,
            size_bytes=row["size_bytes_sum"],
            written_ns=row["modification_time_max"] * 10**6,
        )


def incidents(store: Store, tenant: str) -> list[Incident]:
    """Alerts that are stored, each from its first window to its end."""
    dataset = store.dataset(tenant, "events")
    if dataset is None:
        return []
    rows = dataset.to_table(columns=["alert_id", "plant", "class", "document", "block_sequence"])
    found: dict[str, Incident] = {}
    for row in rows.sort_by("block_sequence").to_pylist():
        alert = json.loads(row["document"])["data"]
        end = alert.get("cleared")
        found[row["alert_id"]] = Incident(
            row["alert_id"], row["plant"], row["class"], time_ns(alert["since"]), time_ns(end) if end else None
        )
    return list(found.values())


def _write_down(store: Store, tenant: str, expired: list[Part], retention: RetentionConfig, now_ns: int) -> None:
    """Append what goes, unless it was written down before: by a run that ended before it could remove it."""
    table = store.create(tenant, REMOVED)
    known = table.to_pyarrow_table(columns=["plant", "class", "day", "removed_from", "rows"]).to_pylist()
    ages = {table: day_text(age) for table, age in ages_ns(retention).items()}
    fresh = [
        {**row, "time": now_ns // 1000, "kept_for": ages[part.table]}
        for part in expired
        if (row := _row(part)) not in known
    ]
    if fresh:
        schema = SCHEMAS[REMOVED]
        arrays = [_array([row[field.name] for row in fresh], field.type) for field in schema]
        write_deltalake(table, pa.Table.from_arrays(arrays, schema=schema), mode="append")


def _row(part: Part) -> dict[str, Any]:
    """A part as it is written down."""
    place = {"plant": part.plant, "class": part.asset_class, "day": part.date}
    return {**place, "removed_from": part.table, "rows": part.rows}


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.int64()).view(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)


def _remove(store: Store, tenant: str, name: str, parts: Iterable[Part]) -> None:
    """Take days out of a table. Its partitions are these days, so that no file is read or written."""
    # A name is a DNS label, and has no quote to escape.
    days = [f"(plant = '{part.plant}' AND class = '{part.asset_class}' AND day = '{part.date}')" for part in parts]
    if not days:
        return
    for attempt in range(1, _ATTEMPTS + 1):
        table = store.open(tenant, name)
        if table is None:
            return
        try:
            table.delete(" OR ".join(days))
        except CommitFailedError as error:
            if attempt == _ATTEMPTS:
                raise
            log.info("Removed from %s at the same time as another wrote: %s", name, error)
        else:
            log.info("Removed %d days of %s that are past their age", len(days), name)
            return
