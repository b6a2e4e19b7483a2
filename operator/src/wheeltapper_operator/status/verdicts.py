"""Verdicts on the five kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wheeltapper_api.checks import Finding
from wheeltapper_api.conditions import (
    ACCEPTED,
    APPLYING,
    FRESH,
    INVALID,
    NO_DATA,
    RUNNING,
    SIGNALS_FAULTY,
    SIGNALS_STALE,
    SOURCE_AWAY,
    STARTING,
    WITHIN_OBJECTIVE,
    WORKER_SILENT,
)
from wheeltapper_api.documents import field_text
from wheeltapper_api.fields import duration_text
from wheeltapper_operator.reconcile.generations import Generations
from wheeltapper_operator.status.conditions import Said, Verdict
from wheeltapper_operator.status.observed import Observed, Reports, silent
from wheeltapper_operator.status.trouble import Trouble

_NAMED: Final = 3
"""So many of several alike are named, and the rest counted."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How the workers of a tenant are."""

    generations: Generations
    reports: Reports
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """By worker, of those that do not run."""
    now_ns: int = 0

    def hindrance(self, worker: str) -> tuple[str, str] | None:
        """Reason and message of why a worker cannot be relied on."""
        trouble = self.troubles.get(worker)
        if trouble is not None:
            return trouble.reason, trouble.message
        report = self.reports.get(worker)
        if report is None:
            return STARTING, f"{worker} has not reported yet"
        if silent(report, self.now_ns):
            return WORKER_SILENT, f"{worker} has not reported for a while; see its log"
        return None


def mistakes(findings: Sequence[Finding]) -> Verdict | None:
    """Verdict on an object in which a person has to change something."""
    if not findings:
        return None
    first = findings[0]
    where = field_text(first.path)
    message = f"{where}: {first.message}" if where else first.message
    message += f". {first.remedy}." if first.remedy else "."
    if len(findings) > 1:
        message += f" And {len(findings) - 1} more: `wheeltapper validate` tells them all."
    return Verdict("stalled", first.reason, message)


def not_understood(mistake: str) -> Verdict:
    """Verdict on an object that a newer or older version of the kinds has let pass."""
    return Verdict("stalled", INVALID, f"{mistake}. Correct the field; nothing of the object is in force.")


def accepted(users: int, of: str) -> Verdict:
    """Verdict on a class or failure model: it serves so many."""
    return Verdict("ready", ACCEPTED, f"Used by {users} {of}{'' if users == 1 else 's'}")


def twin(
    name: str,
    workers: Workers,
    seen: Observed | None,
    fresh_ns: int,
    tenant: Verdict | None = None,
    fault: tuple[str, str] | None = None,
) -> Verdict:
    """Verdict on a twin.

    Parameters
    ----------
    fresh_ns
        How old its newest sample may be.
    tenant
        What hinders the whole tenant, and so this twin.
    fault
        What is wrong with some of its signals.
    """
    fresh = (_fresh(seen, fresh_ns, workers.now_ns),)
    if tenant is not None and tenant.state != "ready":
        return Verdict("waiting", tenant.reason, tenant.message, degraded=fault, more=fresh)
    own = workers.generations.workers_of.get(name, [])
    if not own:
        return Verdict("waiting", APPLYING, "No worker has it yet", degraded=fault, more=fresh)
    for worker in own:
        hindrance = workers.hindrance(worker)
        if hindrance is not None:
            return Verdict("waiting", *hindrance, degraded=fault, more=fresh)
    for worker in own:
        if not workers.generations.runs(name, worker, str(workers.reports[worker].get("generation"))):
            return Verdict("waiting", APPLYING, _behind(worker, workers.reports[worker]), degraded=fault, more=fresh)
    return Verdict("ready", RUNNING, "The workers run this generation", degraded=fault, more=fresh)


def _behind(worker: str, report: Mapping[str, Any]) -> str:
    learning = sorted({model for part in report.get("parts", {}).values() for model in part.get("learning", ())})
    if not learning:
        return f"{worker} has not taken up this generation yet"
    return f"{worker} first learns {_some(learning)} from what is stored; until then what was in force before watches"


def _fresh(seen: Observed | None, fresh_ns: int, now_ns: int) -> Said:
    if seen is None or not seen.received_ns:
        return Said(FRESH, "Unknown", NO_DATA, "Nothing has arrived yet")
    if now_ns - seen.received_ns > fresh_ns:
        return Said(FRESH, "False", SIGNALS_STALE, f"Nothing has arrived for more than {duration_text(fresh_ns)}")
    return Said(FRESH, "True", WITHIN_OBJECTIVE, f"The newest value is not older than {duration_text(fresh_ns)}")


def plant(name: str, connections: Iterable[str], workers: Workers) -> Verdict:
    """Verdict on a plant: ready, though a machine's server may be away."""
    parts = _parts(workers.reports)
    away = [str(p.get("message")) for p in parts if p.get("plant") == name and p.get("connected") is False]
    count = len(list(connections))
    degraded = (SOURCE_AWAY, _some(away)) if away else None
    message = f"{count} connection{'' if count == 1 else 's'}"
    return Verdict("ready", ACCEPTED, message, degraded)


def tenant(twins: int, workers: Workers) -> Verdict:
    """Verdict on a tenant whose objects are applied."""
    hindrances = [found for worker in workers.generations.workers if (found := workers.hindrance(worker)) is not None]
    if hindrances:
        return Verdict("waiting", hindrances[0][0], _some([message for _, message in hindrances]))
    behind = [
        worker
        for worker in workers.generations.workers
        if not workers.generations.current(worker, str(workers.reports[worker].get("generation")))
    ]
    if behind:
        return Verdict("waiting", APPLYING, f"{_some(sorted(behind))} have not taken up the newest config yet")
    degraded = _degraded(workers.reports)
    return Verdict("ready", RUNNING, f"{twins} twin{'' if twins == 1 else 's'} run", degraded)


def _parts(reports: Reports) -> Iterator[Mapping[str, Any]]:
    return (part for report in reports.values() for part in report.get("parts", {}).values())


def faults(reports: Reports) -> dict[str, tuple[str, str]]:
    """Reason and message of what is wrong with the signals of each twin."""
    found: dict[str, list[str]] = {}
    for part in _parts(reports):
        for problem in part.get("problems", ()):
            if isinstance(problem, Mapping) and problem.get("asset"):
                found.setdefault(str(problem["asset"]), []).append(f"{problem.get('signal')} {problem.get('kind')}")
    return {asset: (SIGNALS_FAULTY, _some(sorted(said))) for asset, said in found.items()}


def _degraded(reports: Reports) -> tuple[str, str] | None:
    """First condition of a worker that does not hold."""
    for name, report in sorted(reports.items()):
        for condition in report.get("conditions", ()):
            if condition.get("status") == "False":
                return str(condition["reason"]), f"{name}: {condition['message']}"
    return None


def _some(texts: Sequence[str]) -> str:
    shown = "; ".join(texts[:_NAMED])
    return shown if len(texts) <= _NAMED else f"{shown}; and {len(texts) - _NAMED} more"
