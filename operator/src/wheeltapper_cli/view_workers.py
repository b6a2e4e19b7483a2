"""Workers and streams of an installation, as data. Pure: status documents and a clock in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wheeltapper_operator.status.observed import SILENT_S

Documents = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as a table shows it."""

    tenant: str
    worker: str
    reported_s: float
    """Seconds since its last report."""
    silent: bool
    generation: str
    conditions: list[Mapping[str, Any]]
    """In the shape of Kubernetes; those of a silent worker are what it said last."""
    transitions: list[Mapping[str, Any]]
    """Its last changes of a condition, the oldest first."""

    @property
    def wrong(self) -> list[Mapping[str, Any]]:
        """Conditions that do not hold."""
        return [condition for condition in self.conditions if condition["status"] != "True"]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as a table shows it."""

    tenant: str
    stream: str
    bytes: int
    max_bytes: int
    when_full: str
    slowest: str | None
    """The reader that is furthest behind; None while not all have told."""
    unread: int | None
    """Messages that it still needs."""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def workers(documents: Documents, now_ns: int) -> list[WorkerRow]:
    """Rows of all workers, by tenant and name."""
    rows = []
    for name, document in documents.items():
        age_s = round(max(0, now_ns - int(document.get("timeNs", 0))) / 1e9, 1)
        row = WorkerRow(
            tenant=document.get("tenant", ""),
            worker=name,
            reported_s=age_s,
            silent=age_s > SILENT_S,
            generation=document.get("generation", ""),
            conditions=document.get("conditions", []),
            transitions=document.get("transitions", []),
        )
        rows.append(row)
    return sorted(rows, key=lambda row: (row.tenant, row.worker))


def streams(documents: Documents) -> list[StreamRow]:
    """Rows of all streams, in the order of the flow."""
    return [
        StreamRow(
            tenant=document.get("tenant", ""),
            stream=name,
            bytes=told["bytes"],
            max_bytes=told["maxBytes"],
            when_full=told["whenFull"],
            slowest=told["slowest"],
            unread=told["unread"],
        )
        for document in documents.values()
        for part in document.get("parts", {}).values()
        for name, told in part.get("streams", {}).items()
    ]


def new_words(documents: Documents, said: Iterable[str]) -> list[str]:
    """Messages of conditions that do not hold, but for those that repeat what is said already."""
    known = tuple(said)
    return [
        condition["message"]
        for document in documents.values()
        for condition in document.get("conditions", [])
        if condition["status"] == "False" and not condition["message"].startswith(known)
    ]
