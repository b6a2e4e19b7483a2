"""Events, in the shape of ``events.k8s.io/v1``: few, and none of them worth a failure."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Final
from uuid import uuid4

from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.kube.api import Api, RefusedError, UnreachableError
from wheeltapper_operator.names import OPERATOR
from wheeltapper_operator.objects import EVENT
from wheeltapper_operator.status.news import News

log = logging.getLogger(__name__)

_AGAIN_S: Final = 600.0
_REMEMBERED: Final = 10_000
_NOTE: Final = 1000
_WHOLE_CLUSTER: Final = "default"
"""Namespace of the Events of objects that have none."""


class Events:
    """Tells of objects; the same of the same object not again within ten minutes."""

    def __init__(self, api: Api, identity: str) -> None:
        self._api, self._identity = api, identity
        self._told: dict[tuple[str, str], float] = {}

    async def tell(self, seen: Seen, news: News) -> None:
        """Create an Event; where that does not work, the log has it."""
        key, now = (seen.uid, news.reason), time.monotonic()
        if now - self._told.get(key, float("-inf")) < _AGAIN_S:
            return
        self._told.pop(key, None)
        self._told[key] = now
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        try:
            await self._api.create(self._event(seen, news))
        except (RefusedError, UnreachableError) as error:
            log.warning("%s %s: %s (no Event: %s)", seen.key, news.reason, news.message, error)

    def _event(self, seen: Seen, news: News) -> dict[str, object]:
        namespace = seen.key.namespace or _WHOLE_CLUSTER
        regarding = {
            "apiVersion": seen.raw["apiVersion"],
            "kind": seen.key.kind,
            "name": seen.key.name,
            "uid": seen.uid,
            "resourceVersion": str(seen.version),
        }
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{seen.key.name}.{uuid4().hex[:16]}", "namespace": namespace},
            "type": news.type,
            "reason": news.reason,
            "note": news.message[:_NOTE],
            "action": "Reconcile",
            "regarding": regarding | ({"namespace": seen.key.namespace} if seen.key.namespace else {}),
            "reportingController": f"wheeltapper.dev/{OPERATOR}",
            "reportingInstance": self._identity,
            "eventTime": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
