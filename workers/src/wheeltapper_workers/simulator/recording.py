"""Reads a recorded CSV into arrays, and says exactly which line is wrong when one is."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from wheeltapper_workers.simulator.errors import RecordingError
from wheeltapper_workers.simulator.randomness import Floats, Ints

_DELIMITERS: Final = ";,\t|"
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded table.

    Attributes
    ----------
    columns : list of str
        Headers of the numeric columns, in file order.
    time_ns : array of int64, shape [n_rows]
        Recorded time, nanoseconds since the Unix epoch; a time without a zone is taken as UTC.
    values : array of float64, shape [n_rows, n_columns]
        NaN where the cell is empty.
    """

    columns: list[str]
    time_ns: Ints
    values: Floats


def read_recording(path: Path, timestamp_column: str) -> Recording:
    """Read a CSV with a header line; the delimiter (``; , tab |``) is found from it.

    A column is numeric when its first filled cell is a number; then all its cells must be numbers or empty.

    Raises
    ------
    RecordingError
        Naming file and line, if the file cannot be read, is empty, lacks the timestamp column, has no numeric column,
        or has a row of the wrong width, an unreadable timestamp or a text in a numeric column.
    """
    header, rows, lines = _read_rows(path)
    if timestamp_column not in header:
        raise RecordingError(f"{path}:1: There is no column {timestamp_column!r}. Choose among: {', '.join(header)}.")
    at = header.index(timestamp_column)
    time_ns: Ints = np.array(
        [_time_ns(row[at], f"{path}:{line}", timestamp_column) for row, line in zip(rows, lines, strict=True)],
        dtype=np.int64,
    )
    numeric = [index for index in range(len(header)) if index != at and _is_numeric(rows, index)]
    if not numeric:
        raise RecordingError(f"{path}:1: There is no numeric column beside {timestamp_column!r}. Check the delimiter.")
    values = np.stack([_numbers(path, header[index], rows, lines, index) for index in numeric], axis=1)
    return Recording([header[index] for index in numeric], time_ns, values)


def node_names(columns: list[str]) -> list[str]:
    """Node identifiers of columns: spaces and punctuation removed, letters kept as they are.

    Raises
    ------
    RecordingError
        If two columns would get the same identifier, or one would be empty.
    """
    names = [re.sub(r"[\W_]+", "", column) for column in columns]
    for index, name in enumerate(names):
        if not name:
            raise RecordingError(f"Column {columns[index]!r} has no letter or digit to name its node by. Rename it.")
        if name in names[:index]:
            other = columns[names.index(name)]
            raise RecordingError(f"Columns {other!r} and {columns[index]!r} would share the node {name}. Rename one.")
    return names


def _read_rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count), strict=True)
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not row:
                    continue  # a blank line, usually the last one
                if len(row) != len(header):
                    raise RecordingError(
                        f"{path}:{reader.line_num}: {len(row)} fields where the header has {len(header)}. Mend the row."
                    )
                rows.append(row)
                lines.append(reader.line_num)
    except OSError as error:
        raise RecordingError(f"{path}:1: The file cannot be read: {error.strerror}. Check the path.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}:{len(rows) + 2}: Not readable as UTF-8 CSV: {error}. Mend the row.") from error
    if not rows:
        raise RecordingError(f"{path}:1: There are no rows to replay. Give a CSV with a header and at least one row.")
    return header, rows, lines


def _time_ns(text: str, place: str, column: str) -> int:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise RecordingError(
            f"{place}: {text!r} in column {column!r} is not a timestamp. Write it like 2026-01-31 12:00:00."
        ) from error
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (time - _UNIX_EPOCH) // _MICROSECOND * 1000


def _is_numeric(rows: list[list[str]], index: int) -> bool:
    first = next((row[index] for row in rows if row[index].strip()), "")
    try:
        float(first)
    except ValueError:
        return False
    return True


def _numbers(path: Path, column: str, rows: list[list[str]], lines: list[int], index: int) -> Floats:
    numbers = np.full(len(rows), np.nan)
    for position, row in enumerate(rows):
        cell = row[index].strip()
        if cell:
            try:
                numbers[position] = float(cell)
            except ValueError as error:
                raise RecordingError(
                    f"{path}:{lines[position]}: {cell!r} in column {column!r} is not a number. Mend or empty it."
                ) from error
    return numbers
