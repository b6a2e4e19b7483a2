"""Rows of tables as Parquet files in a folder, which are read like the tables they were taken from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable

from wheeltapper_workers.history.tables import Store

_BATCH_ROWS: Final = 64 * 1024
_READ_AHEAD: Final = 2


@dataclass(frozen=True, slots=True)
class Folder(Store):
    """A store of one tenant whose tables are ``<root>/<table>.parquet``: nothing but files, and only to be read."""

    def open(self, tenant: str, table: str) -> DeltaTable | None:
        """There are no Delta tables here."""
        del tenant, table
        return None

    def dataset(self, tenant: str, table: str) -> pads.Dataset | None:
        """Rows of a table; None if there is no file of it."""
        del tenant
        path = file_of(Path(self.root), table)
        return pads.dataset(path, format="parquet") if path.is_file() else None


def file_of(folder: Path, table: str) -> Path:
    """File of a table in a folder."""
    return folder / f"{table}.parquet"


def batches(rows: pads.Dataset, where: pc.Expression | None, columns: list[str] | None = None) -> pads.Scanner:
    """Rows of a dataset in batches, of which only few are in memory at a time."""
    return rows.scanner(
        columns=columns,
        filter=where,
        batch_size=_BATCH_ROWS,
        batch_readahead=_READ_AHEAD,
        fragment_readahead=_READ_AHEAD,
    )


def write_parquet(path: Path, scanner: pads.Scanner, meanings: Mapping[str, str] | None = None) -> int:
    """Write what a scanner reads to a file, with the columns' meanings as descriptions; returns the number of rows."""
    schema = described(scanner.projected_schema, meanings or {})
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in scanner.to_batches():
            if batch.num_rows:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
                rows += batch.num_rows
    return rows


def described(schema: pa.Schema, meanings: Mapping[str, str]) -> pa.Schema:
    """Schema whose fields say what they mean."""
    return pa.schema(
        [
            field.with_metadata({"description": meanings[field.name]} if field.name in meanings else {})
            for field in schema
        ]
    )
