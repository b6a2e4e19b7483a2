"""Who asks, and whether they may: the Kubernetes API server decides both.

Two endpoints are all that is needed of it, so they are called directly; the official client would take more memory
than the rest of the gateway.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import aiohttp

from wheeltapper_api.fields import GROUP

T = TypeVar("T")

AUDIENCE: Final = "wheeltapper-gateway"
"""Audience of tokens that are made for gateways alone."""
VERB: Final = "get"
RESOURCE: Final = "assettwins"
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_KEPT_S: Final = 10.0
"""An answer of the API server counts so long: a right that is taken away ends within this time."""
_REMEMBERED: Final = 1000
_PATIENCE: Final = aiohttp.ClientTimeout(total=10)
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as the API server knows them."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Person:
        """Person of the ``status.user`` of a TokenReview."""
        extra = tuple((key, tuple(values)) for key, values in sorted((told.get("extra") or {}).items()))
        return cls(told.get("username", ""), told.get("uid", ""), tuple(told.get("groups") or ()), extra)


class UnavailableError(Exception):
    """The API server does not answer, or not to this gateway."""


class Access:
    """Questions to the API server, with answers that count for some seconds.

    Parameters
    ----------
    server
        Address of the API server.
    account
        Folder with the token and the authority of the gateway's own service account. The token is read for each
        question, since it is replaced while the gateway runs.
    """

    def __init__(self, server: str, namespace: str, account: Path = _ACCOUNT) -> None:
        self._server, self._namespace, self._account = server, namespace, account
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=_PATIENCE)
        self._asking = asyncio.Semaphore(_AT_ONCE)
        self._people: _Kept[Person | None] = _Kept()
        self._rights: _Kept[bool] = _Kept()

    @classmethod
    def of_pod(cls, namespace: str) -> Access:
        """Access with the service account of the pod this runs in."""
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        account = Path(os.environ.get("WHEELTAPPER_GATEWAY_ACCOUNT", _ACCOUNT))
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}", namespace, account)

    async def close(self) -> None:
        """Leave the API server."""
        await self._session.close()

    async def person(self, token: str) -> Person | None:
        """Whose token it is; None if it is nobody's.

        Raises
        ------
        UnavailableError
            If the API server cannot be asked.
        """
        return await self._people.get(hashlib.sha256(token.encode()).hexdigest(), lambda: self._review(token))

    async def may(self, person: Person, subresource: str) -> bool:
        """Whether a person may get this of the twins of the tenant.

        Raises
        ------
        UnavailableError
            If the API server cannot be asked.
        """
        return await self._rights.get((person, subresource), lambda: self._review_access(person, subresource))

    async def _review(self, token: str) -> Person | None:
        # A token is for the audience it was made for. Those of a kubeconfig are for the API server itself, which is
        # what a review without an audience asks for.
        for audiences in ([AUDIENCE], []):
            spec = {"token": token} | ({"audiences": audiences} if audiences else {})
            status = await self._ask("authentication.k8s.io", "TokenReview", spec)
            if status.get("authenticated") and set(audiences) <= set(status.get("audiences") or ()):
                return Person.of(status.get("user") or {})
        return None

    async def _review_access(self, person: Person, subresource: str) -> bool:
        spec = {
            "user": person.user,
            "uid": person.uid,
            "groups": list(person.groups),
            "extra": {key: list(values) for key, values in person.extra},
            "resourceAttributes": {
                "namespace": self._namespace,
                "verb": VERB,
                "group": GROUP,
                "resource": RESOURCE,
                "subresource": subresource,
            },
        }
        return (await self._ask("authorization.k8s.io", "SubjectAccessReview", spec)).get("allowed") is True

    async def _ask(self, group: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._server}/apis/{group}/v1/{kind.lower()}s"
        document = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        try:
            headers = {"Authorization": f"Bearer {(self._account / 'token').read_text().strip()}"}
            async with self._asking, self._session.post(url, json=document, headers=headers) as answer:
                told = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UnavailableError(f"The Kubernetes API does not answer: {error or type(error).__name__}") from error
        if answer.status >= 300 or not isinstance(told, dict):
            why = told.get("message", "") if isinstance(told, dict) else ""
            raise UnavailableError(f"The Kubernetes API refuses a {kind} to the gateway ({answer.status}): {why}")
        status: dict[str, Any] = told.get("status") or {}
        return status


class _Kept(Generic[T]):
    """Answers by question, each for some seconds; the oldest are forgotten where there are many."""

    def __init__(self) -> None:
        self._answers: OrderedDict[object, tuple[float, T]] = OrderedDict()

    async def get(self, question: object, ask: Callable[[], Awaitable[T]]) -> T:
        """Answer that is kept, or a new one."""
        kept = self._answers.get(question)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        began = time.monotonic()  # what changes while it is asked may not be in the answer
        answer = await ask()
        self._answers.pop(question, None)
        self._answers[question] = (began + _KEPT_S, answer)
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer
