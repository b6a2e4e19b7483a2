"""The operator: watches, elects, and brings tenants about while it leads."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

from aiohttp import web

from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.handlers import watch
from wheeltapper_operator.inventory import EVERYBODY, Inventory
from wheeltapper_operator.kube import fitness
from wheeltapper_operator.kube.api import Api, RefusedError, UnreachableError
from wheeltapper_operator.kube.events import Events
from wheeltapper_operator.kube.leader import Leader
from wheeltapper_operator.kube.statuses import StatusWriter
from wheeltapper_operator.kube.sweep import keep_sweeping, sweep
from wheeltapper_operator.names import KEYS_SECRET, MANAGED_BY, MANAGER
from wheeltapper_operator.objects import Key
from wheeltapper_operator.reconcile.tenancy import tenants
from wheeltapper_operator.rest import look_after_the_rest
from wheeltapper_operator.settings import Settings
from wheeltapper_operator.tenant import Tenant, World

log = logging.getLogger(__name__)
T = TypeVar("T")

_RETRY_S: Final = 2.0
_REST_S: Final = 1.0
_STUCK_S: Final = 120.0
"""A tenant that has not been looked at for so long is stuck; a new start is better than none."""


class Operator:
    """One replica."""

    def __init__(self, settings: Settings, api: Api) -> None:
        self._settings, self._api = settings, api
        self._inventory = Inventory(self._notice)
        self._events = Events(api, settings.identity)
        self._leader = Leader(api, settings.namespace, settings.identity)
        self._tenants: dict[str, Tenant] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._rest = asyncio.Event()
        self._knows = False

    async def run(self) -> None:
        """Work until told to stop."""
        await self._wait_until_fit()
        await self._patiently(lambda: sweep(self._api, self._inventory))
        self._knows = True
        log.info("Knows %d objects", len(self._inventory))
        watching = watch.Watching(self._inventory, self._settings.identity, asyncio.get_running_loop())
        watching.start()
        tasks: list[asyncio.Future[None]] = [
            watching.ended,
            asyncio.create_task(self._leader.run(), name="leader"),
            asyncio.create_task(keep_sweeping(self._api, self._inventory), name="sweep"),
            asyncio.create_task(self._lead(), name="lead"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watching.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def healthy(self) -> bool:
        """Whether every tenant gets on."""
        now = time.monotonic()
        return all(now - tenant.went_round < _STUCK_S for tenant in self._tenants.values())

    def ready(self) -> bool:
        """Whether it knows what is there."""
        return self._knows

    def _notice(self, namespace: str) -> None:
        self._rest.set()
        owner = tenants(self._inventory).get(namespace) if namespace != EVERYBODY else None
        for name, tenant in self._tenants.items():
            if owner in {None, name}:
                tenant.changed()

    async def _wait_until_fit(self) -> None:
        """In a cluster without the kinds, or with another operator, there is nothing to do, and somebody to tell."""
        await self._patiently(lambda: fitness.check_version(self._api))
        told = ""
        while (news := await self._patiently(lambda: fitness.look(self._api, self._settings.namespace))) is not None:
            if news.message != told:
                log.warning("%s: %s", news.reason, news.message)
            told = news.message
            await fitness.say(self._api, self._events, self._settings.namespace, news)
            if news.reason == fitness.KINDS_NEWER:
                return
            await asyncio.sleep(_RETRY_S)

    async def _patiently(self, do: Callable[[], Awaitable[T]]) -> T:
        told = ""
        while True:
            try:
                return await do()
            except (UnreachableError, RefusedError) as error:
                if str(error) != told:
                    log.warning("%s; trying again", error)
                told = str(error)
                await asyncio.sleep(_RETRY_S)

    async def _lead(self) -> None:
        """Act while leading."""
        while True:
            await self._leader.elected.wait()
            world = World(
                self._settings,
                self._api,
                self._inventory,
                await self._patiently(self._authority),
                StatusWriter(self._api, self._events, self._inventory, lambda: self._leader.may_act),
            )
            try:
                while self._leader.may_act:
                    self._start_and_end(world)
                    await self._once(world)
            finally:
                await self._end(list(self._tasks))

    async def _once(self, world: World) -> None:
        try:
            await asyncio.wait_for(self._rest.wait(), _REST_S)
        except TimeoutError:
            return
        self._rest.clear()
        try:
            if not await look_after_the_rest(world):
                self._rest.set()
        except (UnreachableError, RefusedError) as error:
            log.warning("What is no tenant's cannot be looked after: %s", error)
            self._rest.set()
            await asyncio.sleep(_REST_S)

    def _start_and_end(self, world: World) -> None:
        wanted = set(tenants(self._inventory).values())
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name], self._tenants[name]
                task.result()  # what nobody has thought of ends the process, and is begun anew
        for name in wanted - self._tasks.keys():
            tenant = self._tenants[name] = Tenant(name, world)
            self._tasks[name] = asyncio.create_task(tenant.run(), name=f"tenant {name}")

    async def _end(self, names: list[str]) -> None:
        tasks = [self._tasks.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tenants.clear()

    async def _authority(self) -> Authority:
        """Keys of the backbone; made by the first leader, and never again."""
        key = Key("Secret", self._settings.namespace, KEYS_SECRET)
        found = await self._api.get(key)
        if found is None:
            made = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": key.name, "namespace": key.namespace, "labels": {MANAGED_BY: MANAGER}},
                "data": Authority.create().to_secret(),
            }
            found = await self._api.create(made)
            log.info("The keys of the backbone are made")
        return Authority.from_secret(found["data"])


async def serve_probes(operator: Operator, port: int) -> web.AppRunner:
    """Answer the kubelet."""

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="alive\n") if operator.healthy() else web.Response(status=503, text="stuck\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if operator.ready() else web.Response(status=503, text="starting\n")

    application = web.Application()
    application.router.add_get("/healthz", alive)
    application.router.add_get("/readyz", ready)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


async def run(settings: Settings) -> None:
    """Run one replica until it is told to stop."""
    work = cast("asyncio.Task[None]", asyncio.current_task())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    api = await Api.connect(settings.kubeconfig)
    operator = Operator(settings, api)
    probes = await serve_probes(operator, settings.probes_port)
    try:
        await operator.run()
    finally:
        await probes.cleanup()
        await api.close()
