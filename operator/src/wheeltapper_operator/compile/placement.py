"""Placement: which roles share a process, and which lines share a worker of a role.

A process costs about 100 MiB before it has done anything, so a small plant gets two, one that talks to machines and
one that thinks, and its tenant a third that stores. A large one gets a process a role, since two Python threads on
small arrays are no faster than one, and a very large one several of each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Final

from wheeltapper_api.config import (
    CollectorConfig,
    LineConfig,
    RetentionConfig,
    Role,
    StoreConfig,
    TablesConfig,
    WorkerConfig,
)

SPREAD_SAMPLES_PER_SECOND: Final = 5_000
"""Above this a plant's roles get a process each: one core scores about 600,000 samples/s, and collects 20,000."""
WORKER_SAMPLES_PER_SECOND: Final = 100_000
"""Above this a role gets another worker; what a core can do more is for catching up."""
COMMIT_EVERY_NS: Final = 10 * 10**9
COMMIT_ROWS: Final = 100_000
NAME_LENGTH: Final = 52
"""A pod of a Deployment adds 11 characters, and a label holds 63."""

_THINKING: Final = (Role.FEATURIZE, Role.SCORE, Role.ALERT)


def place(
    tenant: str,
    lines: list[LineConfig],
    collectors: list[CollectorConfig],
    tables: TablesConfig | None = None,
    retention: RetentionConfig | None = None,
) -> list[WorkerConfig]:
    """Worker documents of a tenant, sorted by name; ``tables`` is where its tables are."""
    workers = [_collect(tenant, collector) for collector in collectors]
    for plant in sorted({line.line.plant for line in lines}):
        own = [line for line in lines if line.line.plant == plant]
        workers.extend(_think(tenant, plant, own))
    if lines:
        store = StoreConfig(
            tenant=tenant,
            place=tables,
            lines=lines,
            commit_every_ns=COMMIT_EVERY_NS,
            commit_rows=COMMIT_ROWS,
            retention=retention,
        )
        workers.append(
            WorkerConfig(worker=worker_name(tenant, "store"), tenant=tenant, roles=[Role.STORE], store=store)
        )
    return sorted(workers, key=lambda worker: worker.worker)


def samples_per_second(lines: Iterable[LineConfig]) -> float:
    """Samples a second that the contracts promise."""
    return sum(asset.samples_per_second for line in lines for asset in line.assets)


def _collect(tenant: str, collector: CollectorConfig) -> WorkerConfig:
    name = worker_name(tenant, collector.plant, Role.COLLECT.value, collector.name)
    return WorkerConfig(worker=name, tenant=tenant, roles=[Role.COLLECT], collectors=[collector])


def _think(tenant: str, plant: str, lines: list[LineConfig]) -> list[WorkerConfig]:
    if samples_per_second(lines) <= SPREAD_SAMPLES_PER_SECOND:
        return [
            WorkerConfig(
                worker=worker_name(tenant, plant, "analyse"), tenant=tenant, roles=list(_THINKING), lines=lines
            )
        ]
    return [
        WorkerConfig(
            worker=worker_name(tenant, plant, role.value, *([str(number)] if number else [])),
            tenant=tenant,
            roles=[role],
            lines=own,
        )
        for role in _THINKING
        for number, own in enumerate(_shares(lines))
        if own
    ]


def _shares(lines: list[LineConfig]) -> list[list[LineConfig]]:
    """Lines of each worker of a role. A line stays where it is when workers come, unless a new one is its first choice.

    Source
    ------
    Rendezvous hashing: D. Thaler, C. Ravishankar, IEEE/ACM Transactions on Networking 6 (1998).
    """
    workers = min(len(lines), math.ceil(samples_per_second(lines) / WORKER_SAMPLES_PER_SECOND))
    shares: list[list[LineConfig]] = [[] for _ in range(workers)]
    for line in lines:
        first = max(range(workers), key=lambda number: hashlib.sha256(f"{line.line.key}/{number}".encode()).digest())
        shares[first].append(line)
    return shares


def worker_name(*parts: str) -> str:
    """Name of a worker: its parts, shortened with a hash where a label of Kubernetes would not hold them."""
    name = "-".join(parts)
    if len(name) <= NAME_LENGTH:
        return name
    return f"{name[: NAME_LENGTH - 9].rstrip('-')}-{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:8]}"
