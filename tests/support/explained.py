"""Whether the pages of the kinds explain what stands in a status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wheeltapper_api.conditions import READY, REASONS
from wheeltapper_api.kinds.meta import Condition


def unexplained(kind: str, conditions: Iterable[Condition]) -> Iterator[str]:
    """Conditions of an object whose reason is on no page of its kind.

    A ``Ready`` that is False has the reason of the ``Reconciling`` or ``Stalled`` beside it, which the page explains.
    """
    for one in conditions:
        where = REASONS[one.reason].of.get(kind, ()) if one.reason in REASONS else ()
        if one.type not in where and (one.type, one.status) != (READY, "False"):
            yield f"{kind}: {one.type} is {one.status}: {one.reason}"
