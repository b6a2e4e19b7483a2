"""Files of history: CSV or Parquet with the columns time, asset, signal, value and, if there are any, text.

Files are read piece by piece, and what is wrong is told with the number of its row: the first row of samples is 1, as
the header has no samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from wheeltapper_workers.runtime.blocks import TIMESTAMP

I64 = npt.NDArray[np.int64]

PIECE_ROWS: Final = 50_000
_NEEDED: Final = ("time", "asset", "signal", "value")
_TEXT: Final = "text"
_CSV_BYTES: Final = 4 * 2**20
_NUMBER: Final = r"^[+-]?\d+(\.\d+)?$"
_ISO: Final = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?)?"
_ZONE: Final = r"([Zz]|[+-]\d\d(:?\d\d)?)$"
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
"""An epoch below the first number is in seconds, below the second in ms, then µs and ns: all of 1973 to 5138."""


class RecordingError(ValueError):
    """A file of history cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a file, all columns [n]."""

    assets: list[str]
    asset: I64
    """Position in ``assets``."""
    signals: list[str]
    signal: I64
    time_ns: I64
    value: npt.NDArray[np.float64]
    """NaN where there is none."""
    text: dict[int, str]
    """Text by row, where there is one."""

    def __len__(self) -> int:
        return len(self.time_ns)


def pieces(path: Path) -> tuple[int, Iterator[Piece]]:
    """Rows of a file in all, of a CSV file about so many, and its pieces.

    Raises
    ------
    RecordingError
        If the file, or a row of it, cannot be read; of a row when its piece is reached.
    """
    try:
        if path.suffix.lower() == ".csv":
            return _lines(path), _told(path, _csv(path))
        file = pyarrow.parquet.ParquetFile(path)
        columns = _columns(path, file.schema_arrow.names)
        return file.metadata.num_rows, _told(path, file.iter_batches(PIECE_ROWS, columns=columns))
    except (pa.ArrowException, OSError) as error:
        raise RecordingError(f"{path} cannot be read as Parquet; a CSV file has a name that ends in .csv") from error


def _columns(path: Path, names: list[str]) -> list[str]:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise RecordingError(
            f"{path} has no column {', '.join(missing)}; it needs {', '.join(_NEEDED)}, and may have {_TEXT}"
        )
    return [*_NEEDED, *([_TEXT] * (_TEXT in names))]


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        count = sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
    return max(count - 1, 0)


def _csv(path: Path) -> Iterator[pa.RecordBatch]:
    """Rows as text: the library's own guesses would hang on what the first rows look like."""
    with path.open("rb") as file:
        names = file.readline().decode("utf-8-sig", "replace").strip().split(",")
    columns = _columns(path, [name.strip().strip('"') for name in names])
    bad: list[pyarrow.csv.InvalidRow] = []

    def refuse(row: pyarrow.csv.InvalidRow) -> str:
        bad.append(row)
        return "error"

    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=refuse, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            for start in range(0, batch.num_rows, PIECE_ROWS):
                yield batch.slice(start, PIECE_ROWS)
    except pa.ArrowException as error:
        if bad:
            at = f"row {bad[0].number - 1}" if bad[0].number else f"the row {bad[0].text[:80]!r}"
            message = f"{path}, {at}: {bad[0].actual_columns} columns and not {bad[0].expected_columns}"
            raise RecordingError(f"{message}; put texts with commas in double quotes") from error
        raise RecordingError(f"{path} cannot be read as CSV: {error}") from error


def _told(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[Piece]:
    first = 1
    for batch in batches:
        if batch.num_rows:
            yield _piece(batch, _Place(path, first))
        first += batch.num_rows


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a file a batch is."""

    path: Path
    first: int

    def refuse(self, column: str, batch: pa.RecordBatch, bad: Any, what: str) -> None:
        """Say what is wrong with the first row of which it is."""
        rows = np.flatnonzero(np.asarray(bad))
        if len(rows):
            row = int(rows[0])
            found = batch.column(column)[row].as_py()
            raise RecordingError(f"{self.path}, row {self.first + row}: {column} {found!r} {what}")


def _piece(batch: pa.RecordBatch, place: _Place) -> Piece:
    assets, asset = _names(batch, "asset", place)
    signals, signal = _names(batch, "signal", place)
    value = _values(batch, place)
    text = _texts(batch)
    return Piece(assets, asset, signals, signal, _times(batch, place), value, text)


def _names(batch: pa.RecordBatch, column: str, place: _Place) -> tuple[list[str], I64]:
    names = batch.column(column)
    place.refuse(column, batch, names.is_null(), f"is no name; give the {column} of every row")
    encoded = names if pa.types.is_dictionary(names.type) else names.cast(pa.string()).dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices).astype(np.int64)


def _values(batch: pa.RecordBatch, place: _Place) -> npt.NDArray[np.float64]:
    column = batch.column("value")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        number = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[nN][aA][nN]|[iI]nf(inity)?)$"
        wrong = pc.fill_null(pc.invert(pc.match_substring_regex(column, number)), fill_value=False)
        place.refuse("value", batch, wrong, "is no number; write it with a point, or put words into the column text")
        column = pc.replace_substring_regex(column, r"^\+", "")
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _texts(batch: pa.RecordBatch) -> dict[int, str]:
    if _TEXT not in batch.schema.names:
        return {}
    column = batch.column(_TEXT).cast(pa.string())
    rows = np.flatnonzero(np.asarray(pc.fill_null(pc.not_equal(column, ""), fill_value=False)))
    return dict(zip(rows.tolist(), column.take(pa.array(rows)).to_pylist(), strict=True))


def _times(batch: pa.RecordBatch, place: _Place) -> I64:
    column = batch.column("time")
    place.refuse("time", batch, column.is_null(), "is missing; every row needs the time at which it was measured")
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.timestamp("ns", column.type.tz)).view(pa.int64()))
    if pa.types.is_integer(column.type):
        return _epochs(np.asarray(column.cast(pa.int64())), np.zeros(len(column), np.int64))
    if pa.types.is_floating(column.type):
        column = column.cast(pa.decimal128(38, 9)).cast(pa.string())
    elif not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise RecordingError(f"{place.path}: the column time is {column.type}; write ISO 8601 or seconds since 1970")
    return _written(batch, pc.utf8_trim_whitespace(column.cast(pa.string())), place)


def _written(batch: pa.RecordBatch, column: pa.Array, place: _Place) -> I64:
    """Times as text: ISO 8601, in UTC if no offset is given, or an epoch."""
    epoch = np.asarray(pc.match_substring_regex(column, _NUMBER))
    zoned = np.asarray(pc.match_substring_regex(column, _ISO + _ZONE))
    iso = zoned | np.asarray(pc.match_substring_regex(column, _ISO + "$"))
    what = "is no time; write ISO 8601, such as 2026-03-01T06:00:00Z, or a number of seconds, ms, µs or ns since 1970"
    place.refuse("time", batch, ~(epoch | iso), what)
    times = np.empty(len(column), np.int64)
    for chosen, read in ((epoch, _decimals), (iso & zoned, _zoned), (iso & ~zoned, _plain)):
        rows = np.flatnonzero(chosen)
        if len(rows):
            part = column.take(pa.array(rows))
            try:
                times[rows] = read(part)
            except (pa.ArrowException, OverflowError):
                wrong = np.zeros(len(column), np.bool_)
                wrong[rows] = [_unreadable(part.slice(row, 1), read) for row in range(len(part))]
                place.refuse("time", batch, wrong, what)
                raise
    return times


def _unreadable(one: pa.Array, read: Any) -> bool:
    try:
        read(one)
    except (pa.ArrowException, OverflowError):
        return True
    return False


def _decimals(column: pa.Array) -> I64:
    """Epochs with their decimal places as they are written: as a float the last of them would be lost."""
    parts = pc.extract_regex(column, r"^(?P<sign>[+-]?)(?P<whole>\d+)(?:\.(?P<places>\d+))?$")
    sign, whole, places = (pc.struct_field(parts, name) for name in ("sign", "whole", "places"))
    nanos = pc.utf8_slice_codeunits(pc.utf8_rpad(places, 9, "0"), 0, 9).cast(pa.int64())
    factor = np.where(np.asarray(pc.equal(sign, "-")), -1, 1)
    return _epochs(np.asarray(whole.cast(pa.int64())) * factor, np.asarray(nanos) * factor)


def _epochs(whole: I64, nanos: I64) -> I64:
    """Nanoseconds of epochs in whichever unit their size tells; ``nanos`` are thousand-millionths of that unit."""
    size, times = np.abs(whole), np.zeros(len(whole), np.int64)
    low = 0
    for high, factor in _UNITS:
        own = (size >= low) & (size < high) if high < 2**63 else size >= low
        times[own] = whole[own] * factor + nanos[own] * factor // 10**9
        low = high
    return times


def _zoned(column: pa.Array) -> I64:
    """ISO 8601 with an offset, in whichever of its spellings."""
    column = pc.utf8_upper(pc.replace_substring(column, ",", "."))
    return np.asarray(column.cast(TIMESTAMP).view(pa.int64()))


def _plain(column: pa.Array) -> I64:
    return np.asarray(pc.replace_substring(column, ",", ".").cast(pa.timestamp("ns")).view(pa.int64()))
