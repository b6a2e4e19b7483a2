"""Whether this operator may act in a cluster: its version, its kinds, and whether another installation serves it.

Asked before anything is watched. A cluster that is too old has to be upgraded; all else may come right by itself or by
a person, so it is waited for, and said of the operator's own Deployment meanwhile.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from wheeltapper_api.fields import VERSION
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.schema import crd
from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.kube.api import Api, RefusedError, UnreachableError
from wheeltapper_operator.kube.events import Events
from wheeltapper_operator.names import OPERATOR, TENANT_LABEL
from wheeltapper_operator.objects import CRD, NAMESPACE, TYPES, Key, key_of
from wheeltapper_operator.status.news import News

log = logging.getLogger(__name__)

LEAST: Final = (1, 30)
"""The first Kubernetes with ``ValidatingAdmissionPolicy`` in ``v1``, by which objects are refused at apply time."""

KINDS_MISSING: Final = "KindsMissing"
KINDS_OLDER: Final = "KindsOlder"
KINDS_NEWER: Final = "KindsNewer"
"""The only one with which the operator acts."""
SECOND_OPERATOR: Final = "SecondOperator"

_DEPLOYMENT: Final = TYPES["Deployment"]


class UnfitError(Exception):
    """The cluster cannot be worked in, however long one waits."""


async def check_version(api: Api) -> None:
    """Refuse a cluster that lacks what the kinds and the charts rest on.

    Raises
    ------
    UnfitError
        If it is too old; it says what to do.
    UnreachableError, RefusedError
        If it does not say how old it is.
    """
    told = await api.version()
    if (_number(told.get("major")), _number(told.get("minor"))) < LEAST:
        raise UnfitError(
            f"Kubernetes {told.get('gitVersion')} is too old: Wheeltapper needs {LEAST[0]}.{LEAST[1]} or newer. "
            "Upgrade the cluster; nothing has been changed in it."
        )


async def look(api: Api, namespace: str) -> News | None:
    """What is to be said of the cluster to an operator that is installed in a namespace; nothing if all is well.

    It must not act, but for :data:`KINDS_NEWER`.

    Raises
    ------
    UnreachableError, RefusedError
        If that cannot be found out.
    """
    of_kinds = await _kinds(api)
    if of_kinds is not None and of_kinds.reason != KINDS_NEWER:
        return of_kinds
    serving = await _serving(api, namespace)
    if serving == namespace:
        return of_kinds
    message = (
        f"The operator in the namespace {serving} serves this cluster, and there can be one. This one does nothing. "
        "Uninstall one of the two; if it is the other, this one goes on by itself."
    )
    return News("Warning", SECOND_OPERATOR, message)


async def say(api: Api, events: Events, namespace: str, news: News) -> None:
    """Tell of the operator's own Deployment, by an Event; one that runs outside of the cluster has none."""
    try:
        own = await api.get(Key(_DEPLOYMENT.kind, namespace, OPERATOR))
    except (UnreachableError, RefusedError) as error:
        log.warning("No Event: %s", error)
        return
    if own is not None:
        await events.tell(Seen(key_of(own), own), news)


async def _kinds(api: Api) -> News | None:
    """How the kinds in the cluster differ from those of this version.

    Versions only ever add to them. So newer ones do no harm: what is known here still means the same. Of older ones the
    API server would silently drop the fields that it does not know.
    """
    lacking: list[str] = []
    unknown: list[str] = []
    for ours in map(crd, KINDS.values()):
        name = ours["metadata"]["name"]
        theirs = await api.get(Key(CRD.kind, "", name))
        if theirs is None:
            how = "Install the chart wheeltapper-crds; the operator goes on by itself."
            return News("Warning", KINDS_MISSING, f"The cluster does not know {name}. {how}")
        here, there = set(_fields(ours)), set(_fields(theirs))
        lacking += sorted(here - there)
        unknown += sorted(there - here)
    if lacking:
        message = (
            f"The kinds in the cluster are older than this operator: they lack {_first(lacking)}. Nothing is written. "
            "Upgrade the chart wheeltapper-crds to the operator's version; the operator goes on by itself."
        )
        return News("Warning", KINDS_OLDER, message)
    if unknown:
        message = (
            f"The kinds in the cluster are newer than this operator, which does not know {_first(unknown)}. It goes "
            "on; what uses it is not understood. Upgrade the chart wheeltapper to the version of wheeltapper-crds."
        )
        return News("Warning", KINDS_NEWER, message)
    return None


def _fields(definition: Mapping[str, Any]) -> Iterator[str]:
    """Fields of a kind, and the values of those that are a choice."""
    spec = definition["spec"]
    for version in spec["versions"]:
        if version["name"] == VERSION:
            yield from _fields_of(version["schema"]["openAPIV3Schema"], spec["names"]["kind"])


def _fields_of(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, of in schema.get("properties", {}).items():
        yield from _fields_of(of, f"{path}.{name}")
    if "items" in schema:
        yield from _fields_of(schema["items"], f"{path}[]")
    yield from (f"{path}={value}" for value in schema.get("enum", ()))


def _first(fields: list[str]) -> str:
    return fields[0] + (f" and {len(fields) - 1} more" if len(fields) > 1 else "")


async def _serving(api: Api, namespace: str) -> str:
    """Namespace whose operator serves the cluster: the one that was installed first.

    What counts is the Deployment, not whether its pods run: who stops or restarts an operator for a while does not want
    another one, with other keys, to take its place.
    """
    found = await api.list(_DEPLOYMENT, labels=f"app.kubernetes.io/name={OPERATOR}", metadata_only=True)
    for where in _oldest_first(found.items):
        if where == namespace or not await _is_tenants(api, where):
            return where
    return namespace


def _oldest_first(deployments: Iterable[Mapping[str, Any]]) -> list[str]:
    metadata = (one["metadata"] for one in deployments)
    return [
        where
        for _, where in sorted((m["creationTimestamp"], m["namespace"]) for m in metadata if m["name"] == OPERATOR)
    ]


async def _is_tenants(api: Api, namespace: str) -> bool:
    """A Deployment in a tenant's namespace is no operator, whatever its name."""
    found = await api.get(Key(NAMESPACE.kind, "", namespace))
    return found is None or TENANT_LABEL in found["metadata"].get("labels", {})


def _number(text: Any) -> int:
    """Of ``30+``, as some write it, 30."""
    found = re.match(r"\d+", str(text))
    return int(found[0]) if found else 0
