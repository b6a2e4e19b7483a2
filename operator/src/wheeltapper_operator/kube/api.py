"""The API server, through the official client: a few verbs on plain objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from wheeltapper_operator.names import OBJECTS, STATUSES
from wheeltapper_operator.objects import TYPES, Key, ObjectType, key_of

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_PAGE: Final = 500
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class UnreachableError(Exception):
    """The API server does not answer; trying again helps."""


class RefusedError(Exception):
    """The API server says no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message or reason or f"status {status}")
        self.status = status
        self.reason = reason
        """Such as ``Forbidden`` or ``Conflict``."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of a sort, and the state of the cluster they were read at."""

    items: list[dict[str, Any]]
    resource_version: str


class Api:
    """Client of the API server. Objects are plain data, as written in YAML."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """Client with the identity of the pod, or of a kubeconfig file.

        Raises
        ------
        UnreachableError
            If there is neither.
        """
        configuration = Configuration()
        try:
            if kubeconfig is not None:
                await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
            else:
                config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise UnreachableError(f"No way to the API server is known: {error}") from error
        return cls(ApiClient(configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, key: Key) -> dict[str, Any] | None:
        """An object, or nothing."""
        try:
            return await self._call("GET", TYPES[key.kind].path(key.namespace, key.name))
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    async def version(self) -> dict[str, Any]:
        """What the API server says of its version: ``major``, ``minor``, ``gitVersion``."""
        return await self._call("GET", "/version")

    async def list(
        self, of: ObjectType, namespace: str = "", labels: str = "", *, metadata_only: bool = False
    ) -> Listing:
        """Objects of a sort in a namespace or everywhere; the whole list, however many pages it has."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        items: list[dict[str, Any]] = []
        while True:
            page = await self._call(
                "GET", of.path(namespace), query=query, accept=_METADATA_ONLY if metadata_only else "application/json"
            )
            # Within a list the objects do not say what they are, and an empty one of metadata is null.
            items.extend(item | {"apiVersion": of.api_version, "kind": of.kind} for item in page["items"] or ())
            more = page["metadata"].get("continue")
            if not more:
                return Listing(items, page["metadata"]["resourceVersion"])
            query["continue"] = more

    async def apply(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Have an object say what ``obj`` says, whoever has written otherwise; fields it does not name are left."""
        return await self._apply(obj, OBJECTS, "")

    async def apply_status(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Write the whole status of an object; ``metadata.uid`` keeps it from being that of a namesake."""
        return await self._apply(obj, STATUSES, "status")

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object; 409 if it is there already."""
        key = key_of(obj)
        return await self._call("POST", TYPES[key.kind].path(key.namespace), body=obj)

    async def replace(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Write an object; 409 if it is no longer the one whose ``metadata.resourceVersion`` is given."""
        key = key_of(obj)
        return await self._call("PUT", TYPES[key.kind].path(key.namespace, key.name), body=obj)

    async def merge(self, key: Key, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Change some fields of an object."""
        path = TYPES[key.kind].path(key.namespace, key.name)
        return await self._call("PATCH", path, body=patch, content=_MERGE)

    async def delete(self, key: Key, uid: str = "") -> None:
        """Delete an object, or only the one with this uid; one that is not there is no mistake."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", TYPES[key.kind].path(key.namespace, key.name), body=body)
        except RefusedError as error:
            if error.status != 404:
                raise

    async def _apply(self, obj: Mapping[str, Any], manager: str, sub: str) -> dict[str, Any]:
        key = key_of(obj)
        path = TYPES[key.kind].path(key.namespace, key.name, sub)
        query = {"fieldManager": manager, "force": "true"}
        return await self._call("PATCH", path, query=query, body=obj, content=_APPLY)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"Accept": accept, "Content-Type": content}
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=_TIMEOUT)
            data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"The API server does not answer: {error or type(error).__name__}") from error
        return _answer(response.status, data)


def _answer(status: int, data: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        answer = {"message": data[:200].decode(errors="replace")}  # whatever stands in between
    if status < 300:
        return answer
    if status in {429, 500, 502, 503, 504}:
        raise UnreachableError(f"The API server is not able to answer: {answer.get('message') or status}")
    raise RefusedError(status, str(answer.get("reason", "")), str(answer.get("message", "")))
