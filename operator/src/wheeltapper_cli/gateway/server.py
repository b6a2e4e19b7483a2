"""The gateway's HTTP server: who asks, may they, write it down, run it, write down how it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import uuid4

from aiohttp import web
from pydantic import ValidationError

from wheeltapper_api.fields import GROUP
from wheeltapper_cli.audit_log import Asked, AuditError, digest, shortened
from wheeltapper_cli.gateway.access import RESOURCE, VERB, Person, UnavailableError
from wheeltapper_cli.gateway.commands import NotAcceptedError, arguments, chosen
from wheeltapper_cli.gateway.frames import PATH, Kind, Refusal, Request, frame
from wheeltapper_cli.gateway.limits import Limits, Rate
from wheeltapper_cli.gateway.offered import Menu
from wheeltapper_cli.gateway.running import Send, run

log = logging.getLogger(__name__)

_NOBODY: Final = ""
_LARGEST_RECORD: Final = 64 * 2**10
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429


class Audited(Protocol):
    """The audit log, as far as a server needs it."""

    async def write(self, **fields: Any) -> None:
        """Store a record."""


class Allowed(Protocol):
    """The API server, as far as a server needs it."""

    async def person(self, token: str) -> Person | None:
        """Whose token it is."""

    async def may(self, person: Person, subresource: str) -> bool:
        """Whether they may get this."""


class RefusedError(Exception):
    """Nothing is run, and why; the status is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class GoneError(Exception):
    """Whoever asked is not there any more, or does not take the answer."""


@dataclass(slots=True)
class _Asking:
    """What is known of one request so far."""

    request: str = field(default_factory=lambda: uuid4().hex)
    person: Person | None = None
    asked: Asked | None = None
    sent: int = 0
    began: float = field(default_factory=time.monotonic)

    def who(self) -> dict[str, Any]:
        """Person as a record has them."""
        person = self.person
        known = {"user": person.user, "uid": person.uid, "groups": list(person.groups)} if person else {}
        return {"request": self.request, **known}


class Gateway:
    """One tenant's gateway.

    Parameters
    ----------
    namespace
        Of the tenant; said to those who lack a right there.
    menu
        What it runs.
    """

    def __init__(self, namespace: str, menu: Menu, access: Allowed, audit: Audited, limits: Limits) -> None:
        self._namespace, self._menu, self._limits = namespace, menu, limits
        self._access, self._audit = access, audit
        self._rate = Rate(limits.a_minute)
        self._strangers = Rate(limits.a_minute)
        self._running = asyncio.Semaphore(limits.commands)
        self._inside = 0
        self._unrecorded = 0

    def application(self) -> web.Application:
        """Application with the path for commands, and one for the kubelet."""
        application = web.Application(client_max_size=self._limits.request_bytes)
        application.router.add_post(PATH, self._answer)
        application.router.add_get("/healthz", _healthy)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asking = _Asking()
        try:
            async with self._inside_one():
                command = await self._admitted(request, asking)
                async with self._turn():
                    await self._write(**asking.who(), event="asked", asked=asking.asked)
                    return await self._run(request, command, asking)
        except RefusedError as error:
            return await self._refused(error, asking)

    @asynccontextmanager
    async def _inside_one(self) -> AsyncIterator[None]:
        if self._inside >= self._limits.waiting:
            raise RefusedError(503, "The gateway has too many requests at once; try again in some seconds")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def _admitted(self, request: web.Request, asking: _Asking) -> Request:
        """Command that was asked for, by somebody who may."""
        try:
            asking.person = await self._access.person(_token(request))
            if asking.person is None:
                raise RefusedError(_UNAUTHORIZED, "The cluster does not know the token; log in again, as for kubectl")
            if not self._rate.takes(asking.person.user):
                raise RefusedError(_TOO_MANY, f"{asking.person.user} asks too often; try again in a minute")
            command = await self._read(request)
            asking.asked = _written_down(command)
            resource = chosen(self._menu, command.command).resource
            arguments(self._menu, command)
            if not await self._access.may(asking.person, resource):
                raise RefusedError(403, self._forbidden(asking.person, resource))
        except NotAcceptedError as error:
            raise RefusedError(400, str(error)) from error
        except UnavailableError as error:
            log.warning("%s", error)
            raise RefusedError(503, str(error)) from error
        return command

    async def _read(self, request: web.Request) -> Request:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                return Request.model_validate_json(await request.read())
        except web.HTTPRequestEntityTooLarge:
            most = self._limits.request_bytes // 2**10
            raise RefusedError(413, f"What was sent is larger than {most} KiB; send less") from None
        except TimeoutError:
            raise RefusedError(408, "The request did not come in time") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RefusedError(400, f"The request is none: {where}: {first['msg']}") from None

    async def _run(self, request: web.Request, command: Request, asking: _Asking) -> web.StreamResponse:
        """Run it and answer; what comes of it is written down however this ends."""
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        send = self._sender(response, asking)
        told: dict[str, Any] = {"outcome": "whoever asked went away"}
        try:
            await response.prepare(request)
            ended = await run(self._menu, command, self._limits, send)
            told = {"exit_code": ended.code, "outcome": ended.why}
            await send(Kind.END, str(ended.code).encode())
        except GoneError as error:
            told["outcome"] = str(error)
            if request.transport is not None:
                request.transport.abort()
        finally:
            seconds = round(time.monotonic() - asking.began, 3)
            record = {**asking.who(), "event": "ended", "sent_bytes": asking.sent, "seconds": seconds, **told}
            await asyncio.shield(self._write_what_was(record))
        return response

    def _sender(self, response: web.StreamResponse, asking: _Asking) -> Send:
        async def send(kind: Kind, content: bytes) -> None:
            try:
                async with asyncio.timeout(self._limits.idle_seconds):
                    await response.write(frame(kind, content))
            except TimeoutError:
                raise GoneError(f"nothing was taken for {self._limits.idle_seconds:g} s") from None
            except ConnectionError:
                raise GoneError("whoever asked went away") from None
            asking.sent += len(content)

        return send

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await self._running.acquire()
        except TimeoutError:
            raise RefusedError(503, "The gateway is busy with other commands; try again later") from None
        try:
            yield
        finally:
            self._running.release()

    async def _write(self, **fields: Any) -> None:
        """Write down what is going to be done; without that nothing is."""
        try:
            await self._audit.write(**fields)
        except AuditError as error:
            log.warning("The audit log cannot be written: %s", error)
            raise RefusedError(503, f"The audit log cannot be written, so nothing is answered: {error}") from error

    async def _write_what_was(self, record: dict[str, Any]) -> None:
        """Write down what is done already."""
        try:
            await self._audit.write(**record)
        except AuditError as error:
            log.warning("The audit log cannot be written: %s; missing there: %s", error, record)

    async def _refused(self, error: RefusedError, asking: _Asking) -> web.Response:
        if error.status == _TOO_MANY or (asking.person is None and not self._strangers.takes(_NOBODY)):
            self._unrecorded += 1
        else:
            unrecorded, self._unrecorded = self._unrecorded, 0
            record = {**asking.who(), "event": "refused", "asked": asking.asked, "unrecorded": unrecorded}
            await self._write_what_was(record | {"outcome": f"{error.status} {error.message}"})
        answer = web.json_response(text=Refusal(message=error.message).model_dump_json(), status=error.status)
        if error.status == _UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = "Bearer"
        answer.force_close()  # what more comes of such a request is not waited for
        return answer

    def _forbidden(self, person: Person, subresource: str) -> str:
        name, what = f"wheeltapper-{subresource}", f"{RESOURCE}.{GROUP}/{subresource}"
        return (
            f"{person.user} may not {VERB} {what} in the namespace {self._namespace}. Who may grant it does so with\n"
            f"  kubectl create role {name} --namespace {self._namespace} --verb {VERB} --resource {what}\n"
            f"  kubectl create rolebinding {name} --namespace {self._namespace} --role {name} {_subject(person)}"
        )


def _subject(person: Person) -> str:
    """Option of kubectl that names a person."""
    prefix, _, account = person.user.partition("system:serviceaccount:")
    return f"--serviceaccount {account}" if account and not prefix else f"--user {person.user}"


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _token(request: web.Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise RefusedError(_UNAUTHORIZED, "No token came with the request")
    return token.strip()


def _written_down(command: Request) -> Asked:
    options = {name: _short(value) for name, value in command.options.items()}
    files = {name: f"{file.name} {digest(file.text.encode())}" for name, file in command.files.items()}
    asked = Asked(command=command.command, options=options, files=files)
    if len(asked.model_dump_json().encode()) <= _LARGEST_RECORD:
        return asked
    # Nobody escapes the log by asking for more than a record holds.
    return Asked(command=command.command, options={"digest": digest(command.model_dump_json().encode())})


def _short(value: bool | str | list[str]) -> Any:
    if isinstance(value, bool):
        return value
    return shortened(value) if isinstance(value, str) else [shortened(one) for one in value]
