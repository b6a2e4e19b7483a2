"""Which twins a worker runs as they are meant now.

A worker tells the digest of the whole document it runs. An edit of one twin makes a new document for all that share the
worker, and of those the others are no less ready than before: so what counts is the part that is about a twin.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from wheeltapper_api.config import CollectorConfig, LineConfig, WorkerConfig

_REMEMBERED: Final = 16

Parts = Mapping[str, str]
"""Digest of what a document says about each twin."""


def parts_of(config: WorkerConfig) -> Parts:
    """What a worker's document says about each twin; of the tables' document nothing, for it adds nothing to it."""
    found: dict[str, list[bytes]] = {}
    for line in config.lines:
        _of_line(line, found)
    for collector in config.collectors:
        _of_collector(collector, found)
    return {twin: hashlib.sha256(b"".join(said)).hexdigest() for twin, said in found.items()}


def _of_line(line: LineConfig, found: dict[str, list[bytes]]) -> None:
    frame = line.model_copy(update={"assets": []}).model_dump_json().encode()
    frame = hashlib.sha256(frame).digest()
    for asset in line.assets:
        found.setdefault(asset.name, []).extend((frame, asset.model_dump_json().encode()))


def _of_collector(collector: CollectorConfig, found: dict[str, list[bytes]]) -> None:
    frame = hashlib.sha256(collector.model_copy(update={"series": []}).model_dump_json().encode()).digest()
    for series in collector.series:
        found.setdefault(series.asset, []).extend((frame, series.model_dump_json().encode()))


class Generations:
    """Documents that the workers of a tenant were given, by what they tell of them."""

    def __init__(self) -> None:
        self._given: dict[str, OrderedDict[str, Parts]] = {}
        self._wanted: dict[str, str] = {}
        self.workers_of: dict[str, list[str]] = {}
        """Workers of each twin."""

    def want(self, configs: Iterable[WorkerConfig]) -> None:
        """These documents are given from now on."""
        wanted = {}
        workers: dict[str, list[str]] = {}
        for config in configs:
            wanted[config.worker] = config.generation
            given = self._given.setdefault(config.worker, OrderedDict())
            if config.generation not in given:
                given[config.generation] = parts_of(config)
            given.move_to_end(config.generation)
            while len(given) > _REMEMBERED:
                given.popitem(last=False)
            for twin in given[config.generation]:
                workers.setdefault(twin, []).append(config.worker)
        self._wanted, self.workers_of = wanted, workers
        self._given = {worker: given for worker, given in self._given.items() if worker in wanted}

    @property
    def workers(self) -> Iterable[str]:
        """All workers."""
        return self._wanted

    def current(self, worker: str, told: str) -> bool:
        """Whether a worker runs exactly what it should."""
        return self._wanted.get(worker) == told

    def runs(self, twin: str, worker: str, told: str) -> bool:
        """Whether a worker that tells this digest runs the twin as it is meant now."""
        given = self._given.get(worker, OrderedDict())
        running, wanted = given.get(told), given.get(self._wanted.get(worker, ""))
        return running is not None and wanted is not None and running.get(twin) == wanted.get(twin)
