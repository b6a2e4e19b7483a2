"""From the objects that should be there to the requests that bring them about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wheeltapper_operator.objects import CHILDREN, Key, key_of

_RANK: Final = {one.kind: rank for rank, one in enumerate(CHILDREN)}


@dataclass(frozen=True, slots=True)
class Changes:
    """What to apply and then to delete, each in its order; nothing of both where all is as it should be."""

    apply: tuple[Mapping[str, Any], ...]
    delete: tuple[Key, ...]


def changes(
    desired: Iterable[Mapping[str, Any]], applied: Mapping[Key, str], present: Collection[Key], kept: Collection[Key]
) -> Changes:
    """Changes that lead to the desired objects.

    Parameters
    ----------
    desired
        Objects that should be there.
    applied
        Digest of each object as it was applied last, and not changed by others since.
    present
        Keys of all objects of ours that are there.
    kept
        Keys of those that stay although they are no longer desired, since they hold data.
    """
    wanted = {key_of(obj): obj for obj in desired}
    apply = [obj for key, obj in wanted.items() if applied.get(key) != digest(obj) or key not in present]
    # Only what a namespace is filled with: the namespace itself, with all that people have put there, is never pruned.
    delete = [key for key in present if key.kind in _RANK and key not in wanted and key not in kept]
    apply.sort(key=lambda obj: _RANK.get(obj["kind"], -1))
    delete.sort(key=lambda key: (-_RANK[key.kind], key))
    return Changes(tuple(apply), tuple(delete))


def digest(obj: Mapping[str, Any]) -> str:
    """The same for the same object."""
    return hashlib.sha256(json.dumps(obj, sort_keys=True).encode()).hexdigest()
