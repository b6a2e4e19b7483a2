"""The one function that writes conditions, and the rules that every status keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from wheeltapper_api.conditions import DEGRADED, READY, RECONCILING, STALLED
from wheeltapper_api.kinds.meta import Condition, Status

Truth = Literal["True", "False", "Unknown"]
_ONLY_WHILE_TRUE: Final = (RECONCILING, STALLED, DEGRADED)
_MESSAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class Said:
    """A condition without its times."""

    type: str
    status: Truth
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of an object at a generation.

    It is ready; or it is not and time will help (``waiting``), or a person has to (``stalled``).
    """

    state: Literal["ready", "waiting", "stalled"]
    reason: str
    message: str
    degraded: tuple[str, str] | None = None
    """Reason and message of what does not work while the rest goes on."""
    more: tuple[Said, ...] = ()

    def said(self) -> tuple[Said, ...]:
        """All conditions, ``Ready`` first."""
        ready = Said(READY, "True" if self.state == "ready" else "False", self.reason, self.message)
        found = [ready]
        if self.state == "waiting":
            found.append(Said(RECONCILING, "True", self.reason, self.message))
        if self.state == "stalled":
            found.append(Said(STALLED, "True", self.reason, self.message))
        if self.degraded is not None:
            found.append(Said(DEGRADED, "True", *self.degraded))
        return (*found, *self.more)


def conditions(before: Sequence[Condition], generation: int, verdict: Verdict, now: str) -> list[Condition]:
    """Conditions of an object: a time of transition moves only where a status does.

    Parameters
    ----------
    before
        Those it has.
    now
        The time, as RFC 3339 writes it.
    """
    known = {condition.type: condition for condition in before}
    found = []
    for said in verdict.said():
        last = known.get(said.type)
        since = last.last_transition_time if last is not None and last.status == said.status else now
        found.append(
            Condition(
                type=said.type,
                status=said.status,
                reason=said.reason,
                message=said.message[:_MESSAGE],
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return found


def broken_rules(status: Status, generation: int) -> Iterator[str]:
    """Rules of kstatus and of this project that a status breaks.

    Those of kstatus are at https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus: ``Reconciling`` and
    ``Stalled`` are there while they are true and not otherwise, and a generation that was not observed is not judged.
    """
    by_type = {condition.type: condition for condition in status.conditions}
    if len(by_type) != len(status.conditions):
        yield "a type of condition is there twice"
    ready = by_type.get(READY)
    if ready is None:
        yield "Ready is missing"
        return
    yield from (f"{t} is there and {by_type[t].status}" for t in _ONLY_WHILE_TRUE if _is_false(by_type.get(t)))
    if RECONCILING in by_type and STALLED in by_type:
        yield "Reconciling and Stalled at once: will waiting help or not?"
    if ready.status == "True" and (RECONCILING in by_type or STALLED in by_type):
        yield "Ready, and Reconciling or Stalled"
    if ready.status != "True" and not (RECONCILING in by_type or STALLED in by_type):
        yield "not Ready, and neither Reconciling nor Stalled"
    if status.observed_generation is None or status.observed_generation > generation:
        yield f"observedGeneration is {status.observed_generation}, the generation {generation}"
    for condition in status.conditions:
        if condition.observed_generation != status.observed_generation:
            yield f"{condition.type} is about generation {condition.observed_generation}"
        if not condition.message:
            yield f"{condition.type} says nothing"


def _is_false(condition: Condition | None) -> bool:
    return condition is not None and condition.status != "True"
