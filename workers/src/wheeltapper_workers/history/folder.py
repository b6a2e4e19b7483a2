"""Rows of tables as Parquet files in a folder, which are read like the tables they were taken from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable

from wheeltapper_workers.history.tables import Store


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


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a dataset that fit a filter, of which one row group is in memory at a time.

    A scanner would do the same, but reads ahead as much as it can while whoever writes is slower.
    """

    dataset: pads.Dataset
    where: pc.Expression | None = None

    @property
    def schema(self) -> pa.Schema:
        """Schema of the batches."""
        return self.dataset.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches in the order of the files."""
        for fragment in self.dataset.get_fragments(filter=self.where):
            for group in fragment.split_by_row_group(filter=self.where, schema=self.schema):
                yield from group.to_table(schema=self.schema, filter=self.where).to_batches()


def write_parquet(path: Path, rows: Rows, meanings: Mapping[str, str] | None = None) -> int:
    """Write rows to a file, with the columns' meanings as descriptions; returns their number."""
    schema = described(rows.schema, meanings or {})
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in rows.batches():
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
            count += batch.num_rows
    return count


def described(schema: pa.Schema, meanings: Mapping[str, str]) -> pa.Schema:
    """Schema whose fields say what they mean."""
    return pa.schema(
        [
            field.with_metadata({"description": meanings[field.name]} if field.name in meanings else {})
            for field in schema
        ]
    )
