"""Watches, by Kopf, that feed the inventory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import kopf

from wheeltapper_api.fields import GROUP
from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.names import MANAGED, TENANT_LABEL
from wheeltapper_operator.objects import CHILDREN, CUSTOM, NAMESPACE, ObjectType, key_of

_DEPLOYMENT: Final = next(one for one in CHILDREN if one.kind == "Deployment")
_SELECTORS: Final[Mapping[ObjectType, str]] = {_DEPLOYMENT: MANAGED, NAMESPACE: TENANT_LABEL}
_BACKOFFS_S: Final = (0.5, 1, 2, 5)


class _Patiently:
    """An API server that is away for an hour is no reason to give up."""

    def __iter__(self) -> Iterator[float]:
        yield from _BACKOFFS_S
        while True:
            yield _BACKOFFS_S[-1]


class Watching(threading.Thread):
    """Kopf in a thread and event loop of its own.

    It takes every task of its loop for its own, ends them when it ends, and listens to the process's signals where it
    may; here all that is left to it are the watches.

    Parameters
    ----------
    inventory
        Used only in ``loop``, in which this is made.
    """

    def __init__(self, inventory: Inventory, identity: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="watch", daemon=True)
        self._inventory, self._identity, self._loop = inventory, identity, loop
        self._stop = threading.Event()
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when no more is heard; with what was the matter."""

    def run(self) -> None:
        """Watch until told to stop."""
        problem: Exception | None = None
        try:
            kopf.run(
                registry=self._registry(),
                settings=_settings(),
                identity=cast("Any", self._identity),  # else it asks who the user is, and in a pod that has no name
                clusterwide=True,
                standalone=True,
                stop_flag=self._stop,
            )
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            problem = error
        with contextlib.suppress(RuntimeError):  # the process is at its end
            self._loop.call_soon_threadsafe(self._end, problem)

    def stop(self) -> None:
        """Tell it to stop; nobody has to wait for it."""
        self._stop.set()

    def _end(self, problem: Exception | None) -> None:
        if self.ended.done():
            return
        if problem is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(problem)

    def _registry(self) -> kopf.OperatorRegistry:
        """Handlers of the five kinds, and of what is watched of the objects that the operator makes.

        They are the low-level ones: no annotation, no finalizer and no state of Kopf's is written anywhere.
        """
        found = kopf.OperatorRegistry()
        inventory, tell = self._inventory, self._loop.call_soon_threadsafe

        async def see(event: kopf.RawEvent, **_: Any) -> None:
            raw = event["object"]
            if event["type"] == "DELETED":
                tell(inventory.forget, key_of(raw), raw["metadata"]["uid"])
            else:
                tell(inventory.see, raw)

        for watched in (*CUSTOM, NAMESPACE, _DEPLOYMENT):
            *group, version = watched.api_version.split("/")
            kopf.on.event("".join(group), version, watched.plural, registry=found)(see)
        kopf.on.login(registry=found)(_login)
        return found


def _login(**kwargs: Any) -> Any:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _settings() -> kopf.OperatorSettings:
    """Settings of Kopf: it only watches. A watch that has fallen silent is begun again after 70 s, its default."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True  # the kinds are there: it was asked before
    found.peering.standalone = True  # the Lease decides who acts
    found.persistence.finalizer = f"{GROUP}/kopf"  # never written; none of another operator's is mistaken for ours
    found.networking.error_backoffs = _Patiently()
    found.networking.request_timeout = 30
    found.watching.connect_timeout = 5
    for watched, selector in _SELECTORS.items():
        *group, version = watched.api_version.split("/")
        found.watching.label_selectors["".join(group), version, watched.plural] = selector
    return found
