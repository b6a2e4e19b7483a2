"""Which replica of the operator acts: the one that holds a Lease.

The official client has an election too; it goes by the wall clock, keeps the lease when it ends, and tells nobody
until when it holds. Here a replica that stops gives the lease back, so that the next one begins at once, and whoever
acts can ask before each write whether it still may.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from wheeltapper_operator.kube.api import Api, RefusedError, UnreachableError
from wheeltapper_operator.names import LEASE as LEASE_NAME
from wheeltapper_operator.names import MANAGED_BY, MANAGER
from wheeltapper_operator.objects import LEASE, Key

log = logging.getLogger(__name__)

DURATION_S: Final = 10
"""A lease that was not renewed for so long is free."""
RENEW_S: Final = 3.0
STOP_BEFORE_S: Final = 3.0
"""A holder stops acting so long before another one may begin: clocks drift, and a request is on its way for a while."""


class Leader:
    """Takes part in the election until cancelled.

    Parameters
    ----------
    identity
        Name of this replica; no two are alike.
    """

    def __init__(self, api: Api, namespace: str, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._key = Key(LEASE.kind, namespace, LEASE_NAME)
        self._identity = identity
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._held_until = float("-inf")
        self.elected = asyncio.Event()
        """Set while this replica leads."""

    @property
    def may_act(self) -> bool:
        """Whether nobody else can be leading now."""
        return self._clock() < self._held_until - STOP_BEFORE_S

    async def run(self) -> None:
        """Campaign, hold, and give back."""
        try:
            while True:
                asked_at = self._clock()
                try:
                    if await self._hold():
                        self._held_until = asked_at + DURATION_S
                except (RefusedError, UnreachableError) as error:
                    if not (isinstance(error, RefusedError) and error.status == 409):
                        log.warning("The lease cannot be asked for: %s", error)
                self._tell()
                await asyncio.sleep(RENEW_S if self.may_act else RENEW_S / 3)
        finally:
            self.elected.clear()
            with contextlib.suppress(RefusedError, UnreachableError):
                await self._give_back()

    def _tell(self) -> None:
        if self.may_act and not self.elected.is_set():
            log.info("Leads as %s", self._identity)
            self.elected.set()
        elif not self.may_act and self.elected.is_set():
            log.warning("Leads no more: the lease could not be renewed")
            self.elected.clear()

    async def _hold(self) -> bool:
        """Take or renew the lease; whether it is ours."""
        lease = await self._api.get(self._key)
        if lease is None:
            await self._api.create(self._lease({}, transitions=0))
            return True
        spec = lease.get("spec", {})
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self._identity} and not self._expired(holder, spec):
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        await self._api.replace(self._lease(lease["metadata"], transitions=transitions, since=spec))
        return True

    def _expired(self, holder: str, spec: dict[str, Any]) -> bool:
        """By our own clock: the holder's may go wrong."""
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        return self._clock() - self._seen_at > float(spec.get("leaseDurationSeconds") or DURATION_S)

    async def _give_back(self) -> None:
        if self._clock() >= self._held_until:
            return
        self._held_until = float("-inf")
        lease = await self._api.get(self._key)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            await self._api.replace(lease | {"spec": lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}})

    def _lease(
        self, metadata: dict[str, Any], *, transitions: int, since: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = since is not None and since.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": self._key.name,
                "namespace": self._key.namespace,
                "labels": {MANAGED_BY: MANAGER},
                **({"resourceVersion": metadata["resourceVersion"]} if metadata else {}),
            },
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": DURATION_S,
                "acquireTime": since["acquireTime"] if ours and since else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
