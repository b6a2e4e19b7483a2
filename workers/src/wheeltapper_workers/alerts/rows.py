"""Rows of a score block, as the alerter reads them: by columns, with names turned into positions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import NoScore
from wheeltapper_workers.runtime.blocks import Block, codes, numbers

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

REASONS: Final = [reason.value for reason in NoScore]
_PLAIN: Final = ("features_sequence", "telemetry_first", "telemetry_last", "received_last", "band")


@dataclass(frozen=True, slots=True)
class Index:
    """Positions of names; ``table`` [assets + 1, models + 1] has that of each pair, -1 where there is none."""

    assets: dict[str, int]
    models: dict[str, int]
    modes: dict[str, int]
    table: I64

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]], modes: Iterable[str]) -> Index:
        """Index of pairs of asset and failure model, by their names."""
        assets = {name: position for position, name in enumerate(dict.fromkeys(asset for asset, _ in pairs))}
        models = {name: position for position, name in enumerate(dict.fromkeys(model for _, model in pairs))}
        # The last row and column stay -1: an unknown name has position -1 and so finds them.
        table = np.full((len(assets) + 1, len(models) + 1), -1, np.int64)
        for position, (asset, model) in enumerate(pairs):
            table[assets[asset], models[model]] = position
        return cls(assets, models, {name: position for position, name in enumerate(modes)}, table)


@dataclass(frozen=True, slots=True)
class Rows:
    """A score block by columns, rows [N].

    ``pair`` is the position of asset and failure model, -1 if they are not configured; ``reason`` and ``mode`` are
    positions, -1 if not known; ``detector`` is a number made of the model's digest.
    """

    block: Block
    pair: I64
    end: I64
    score: F64
    coverage: F64
    reason: I64
    mode: I64
    detector: I64
    columns: dict[str, I64]
    lists: dict[str, tuple[I64, F64]]

    @classmethod
    def read(cls, block: Block, index: Index) -> Rows:
        """Rows of a block."""
        batch = block.batch
        reasons = {name: position for position, name in enumerate(REASONS)}
        digests = codes(batch, "model_digest")
        numbered = np.array([*(_number(name) for name in digests.names), 0], np.int64)
        return cls(
            block,
            index.table[
                codes(batch, "asset").to_index(index.assets), codes(batch, "failure_model").to_index(index.models)
            ],
            numbers(batch, "window_end"),
            numbers(batch, "score"),
            numbers(batch, "coverage"),
            codes(batch, "reason").to_index(reasons),
            codes(batch, "mode").to_index(index.modes),
            numbered[digests.codes],
            {name: numbers(batch, name).astype(np.int64) for name in _PLAIN},
            {name: _lists(batch.column(name)) for name in ("values", "expected", "deviation")},
        )

    def text(self, name: str, row: int) -> str:
        """Value of a dictionary column that is needed for one row only."""
        value = self.block.batch.column(name)[row].as_py()
        return value or ""

    def values(self, name: str, row: int) -> list[float]:
        """List of one row."""
        offsets, flat = self.lists[name]
        return [float(value) for value in flat[offsets[row] : offsets[row + 1]]]

    def windows(self, newest: I64) -> Iterator[tuple[int, I64]]:
        """Window ends in order of time with their rows, of pairs that are known and windows that are new to them.

        A row whose window is not after ``newest`` [P] of its pair, or is in the block twice, changes nothing.
        """
        fresh = np.flatnonzero(self.pair >= 0)
        fresh = fresh[self.end[fresh] > newest[self.pair[fresh]]]
        order = np.lexsort((fresh, self.pair[fresh], self.end[fresh]))
        pair, end = self.pair[fresh[order]], self.end[fresh[order]]
        first = np.ones(len(order), bool)
        first[1:] = (pair[1:] != pair[:-1]) | (end[1:] != end[:-1])
        fresh, end = fresh[order][first], end[first]
        for rows in np.split(fresh, np.flatnonzero(np.diff(end)) + 1):
            if len(rows):
                yield int(self.end[rows[0]]), rows


def _number(digest: str) -> int:
    """A number that tells detectors apart, so that the state needs no list of names."""
    return int.from_bytes(hashlib.sha256(digest.encode()).digest()[:7], "big") + 1


def _lists(column: pa.ListArray) -> tuple[I64, npt.NDArray[Any]]:
    offsets = np.asarray(column.offsets).astype(np.int64)
    return offsets - offsets[0], np.asarray(column.flatten())
