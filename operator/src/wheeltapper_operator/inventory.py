"""What the operator knows of the cluster: the newest version of every object it has to do with.

Fed by watches and healed by listings, in whatever order their news arrive. It tells which tenants have to be looked at
again and decides nothing. Kopf's own index is not used: it costs time in proportion to the square of the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from wheeltapper_api.fields import LIBRARY_NAMESPACE
from wheeltapper_api.kinds import KINDS, Resource, TenantPolicy
from wheeltapper_operator.names import TENANT_LABEL
from wheeltapper_operator.objects import Key, key_of

EVERYBODY: Final = ""
"""In place of a namespace: all tenants have to be looked at."""
_FORGOTTEN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as it was seen last."""

    key: Key
    raw: Mapping[str, Any]
    resource: Resource | None = None
    """Of the five kinds; the very same one as long as its spec has not changed."""
    mistake: str = ""
    """Why there is no resource although it is one of the five kinds."""

    @property
    def uid(self) -> str:
        """Its own, and no namesake's."""
        return str(self.raw["metadata"]["uid"])

    @property
    def version(self) -> int:
        """Grows with every change of any object."""
        return int(self.raw["metadata"]["resourceVersion"])

    @property
    def generation(self) -> int:
        """Grows with every change of the spec."""
        return int(self.raw["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether somebody has deleted it, and finalizers keep it."""
        return bool(self.raw["metadata"].get("deletionTimestamp"))

    @property
    def finalizers(self) -> tuple[str, ...]:
        """What keeps it from going."""
        return tuple(self.raw["metadata"].get("finalizers", ()))

    @property
    def status(self) -> Mapping[str, Any]:
        """Its status, as somebody wrote it last."""
        return self.raw.get("status") or {}


class Inventory:
    """Objects by key.

    Parameters
    ----------
    on_change
        Called with the namespace whose tenant has to be looked at again, or :data:`EVERYBODY`.
    """

    def __init__(self, on_change: Callable[[str], None] = lambda _namespace: None) -> None:
        self._seen: dict[str, dict[Key, Seen]] = {}  # by kind: news of one object must not cost a look at all others
        self._gone: dict[str, None] = {}
        self._on_change = on_change

    def __len__(self) -> int:
        return sum(map(len, self._seen.values()))

    def get(self, key: Key) -> Seen | None:
        """An object, if it is known."""
        return self._seen.get(key.kind, {}).get(key)

    def of(self, kind: str, namespace: str | None = None) -> Iterator[Seen]:
        """Objects of a kind, of all namespaces or of one, by name."""
        known = self._seen.get(kind, {})
        for key in sorted(key for key in known if namespace in {None, key.namespace}):
            yield known[key]

    def custom(self) -> Iterator[Seen]:
        """Objects of the five kinds."""
        return (seen for kind in KINDS for seen in self._seen.get(kind, {}).values())

    def versions(self, kind: str) -> dict[Key, tuple[str, int]]:
        """Uid and version of all objects of a kind."""
        return {key: (seen.uid, seen.version) for key, seen in self._seen.get(kind, {}).items()}

    def see(self, raw: Mapping[str, Any]) -> None:
        """Take in an object. Older news than what is known, and news of one that is gone, are nothing new."""
        key = key_of(raw)
        before = self.get(key)
        uid = str(raw["metadata"]["uid"])
        if uid in self._gone or (before is not None and int(raw["metadata"]["resourceVersion"]) <= before.version):
            return
        now = self._seen.setdefault(key.kind, {})[key] = _parsed(key, raw, before)
        if before is None or _differs(before, now):
            self._tell(now, before)

    def forget(self, key: Key, uid: str = "") -> None:
        """An object is gone, or only the one with this uid."""
        before = self.get(key)
        if uid:
            self._gone[uid] = None
            while len(self._gone) > _FORGOTTEN:
                del self._gone[next(iter(self._gone))]
        if before is not None and uid in {"", before.uid}:
            self._gone[before.uid] = None
            del self._seen[key.kind][key]
            self._tell(before, None)

    def forget_absent(self, kind: str, present: Iterable[Key], version: int) -> None:
        """Objects of a kind that a listing at a version did not have are gone, unless they are newer."""
        there = set(present)
        for key, (uid, known) in self.versions(kind).items():
            if key not in there and known <= version:
                self.forget(key, uid)

    def _tell(self, now: Seen, before: Seen | None) -> None:
        for namespace in {_concerned(seen) for seen in (now, before) if seen is not None}:
            self._on_change(namespace)


def _parsed(key: Key, raw: Mapping[str, Any], before: Seen | None) -> Seen:
    kind = KINDS.get(key.kind)
    if kind is None:
        return Seen(key, raw)
    metadata = raw["metadata"]
    if before is not None and before.uid == metadata["uid"] and before.generation == int(metadata.get("generation", 0)):
        return Seen(key, raw, before.resource, before.mistake)
    plain = {name: value for name, value in raw.items() if name != "status"}
    # What the API server and others write beside name and namespace is nobody's to understand here.
    plain["metadata"] = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
    try:
        return Seen(key, raw, kind.model_validate(plain))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Seen(key, raw, mistake=f"{where}: {first['msg']}")


def _differs(one: Seen, other: Seen) -> bool:
    """Whether more has changed than what the operator itself or a controller writes into a status."""

    def relevant(seen: Seen) -> tuple[object, ...]:
        labels = seen.raw["metadata"].get("labels")
        status = None if seen.key.kind in KINDS else seen.status
        return seen.uid, seen.generation, seen.deleting, seen.finalizers, labels, status

    return relevant(one) != relevant(other)


def _concerned(seen: Seen) -> str:
    if seen.key.kind == TenantPolicy.__name__:
        return EVERYBODY  # namespaces may change hands
    if seen.key.namespace == LIBRARY_NAMESPACE:
        return EVERYBODY
    if seen.key.kind == "Namespace":
        return seen.key.name if TENANT_LABEL in seen.raw["metadata"].get("labels", {}) else EVERYBODY
    return seen.key.namespace
