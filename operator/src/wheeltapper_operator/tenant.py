"""One tenant, from what is there to what should be there: gather, compile, act; and what is said of it.

All decisions are made by pure functions of :mod:`wheeltapper_operator.reconcile`, :mod:`wheeltapper_operator.compile`
and :mod:`wheeltapper_operator.status`; here they are given what they need, and done what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wheeltapper_api.checks import check
from wheeltapper_api.conditions import BACKBONE_AWAY, NAMESPACE_ENDING, NAMESPACE_TAKEN, REFUSED
from wheeltapper_api.kinds import TenantPolicy
from wheeltapper_api.plan import TenantPlan
from wheeltapper_backbone.tenant import BackboneError
from wheeltapper_operator.backbone.accounts import connect, delete_account, ensure_account, has_account
from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.backbone.connection import TenantBackbone, storage_bytes
from wheeltapper_operator.build import gateway
from wheeltapper_operator.build import namespace as namespaces
from wheeltapper_operator.build.claims import CLAIM, TABLES
from wheeltapper_operator.build.gateway_certificate import certificate
from wheeltapper_operator.build.secret import backbone_secret
from wheeltapper_operator.compile import Compiler
from wheeltapper_operator.inventory import Inventory, Seen
from wheeltapper_operator.kube.api import Api, RefusedError, UnreachableError
from wheeltapper_operator.kube.merge import merge
from wheeltapper_operator.kube.statuses import StatusWriter
from wheeltapper_operator.names import CREATED, MANAGED, TENANT_LABEL
from wheeltapper_operator.objects import CHILDREN, CLUSTER_BINDING, NAMESPACE, POD, Key, key_of
from wheeltapper_operator.reconcile.binding import bound, pulled_with, symbols
from wheeltapper_operator.reconcile.changes import changes, digest
from wheeltapper_operator.reconcile.deletion import finalizers, users
from wheeltapper_operator.reconcile.generations import Generations
from wheeltapper_operator.reconcile.statuses import Findings, of_tenant
from wheeltapper_operator.reconcile.tenancy import View, view
from wheeltapper_operator.settings import Settings
from wheeltapper_operator.status.conditions import Verdict
from wheeltapper_operator.status.trouble import Trouble, runs, trouble
from wheeltapper_operator.status.verdicts import Workers

log = logging.getLogger(__name__)

DEBOUNCE_S: Final = 0.05
"""Objects that are applied together are looked at together."""
REPORTS_S: Final = 0.2
"""Reports of workers that come together are told together."""
LOOK_S: Final = 1.0
RESYNC_S: Final = 300.0
"""Everything is applied again now and then: what nobody watches may have been changed by hand."""
_BACKOFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class World:
    """What all tenants share."""

    settings: Settings
    api: Api
    inventory: Inventory
    authority: Authority
    statuses: StatusWriter


@dataclass(slots=True)
class _Applied:
    """What was applied, and not changed by others since."""

    digests: dict[Key, str] = field(default_factory=dict)
    present: set[Key] = field(default_factory=set)
    generations: dict[Key, int] = field(default_factory=dict)
    listed: bool = False
    until: float = field(default_factory=lambda: time.monotonic() + RESYNC_S)
    """Then it is no longer relied on: not everything is watched."""


class Tenant:
    """Brings one tenant about, again and again, until cancelled."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self._world = name, world
        self._woken = asyncio.Event()
        self._due = True
        self._compiler = Compiler()
        self._generations = Generations()
        self._applied = _Applied()
        self._backbone: TenantBackbone | None = None
        self._storage: int | None = None
        self._hindrance: Verdict | None = None
        self._findings: Findings = {}
        self._troubles: dict[str, Trouble] = {}
        self.went_round = time.monotonic()
        """When it was last seen to get on."""

    def changed(self) -> None:
        """Something of the tenant's is not as it was."""
        self._due = True
        self._woken.set()

    async def run(self) -> None:
        """Work until the tenant is gone."""
        failures = 0
        try:
            while True:
                await self._wait(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1] if failures else RESYNC_S)
                if time.monotonic() >= self._applied.until:
                    self._applied = _Applied()
                try:
                    if await self._reconcile():
                        return
                    failures = 0
                except Exception as error:  # noqa: BLE001 - what is wrong with one tenant is not the end of all others
                    failures += 1
                    self._hindrance = self._failed(error)
                await self._tell()
        finally:
            if self._backbone is not None:
                await self._backbone.close()

    async def _wait(self, at_most_s: float) -> None:
        """Until there is something to do, or it is time for another look at everything; statuses are told meanwhile."""
        deadline = min(time.monotonic() + at_most_s, self._applied.until)
        while not self._due:
            self.went_round = time.monotonic()
            left = deadline - self.went_round
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), min(LOOK_S, left))
            await asyncio.sleep(DEBOUNCE_S if self._due else REPORTS_S)
            self._woken.clear()
            if not self._due:
                await self._tell()
        self._due = False

    def _failed(self, error: Exception) -> Verdict:
        match error:
            case RefusedError():
                found = Verdict("waiting", REFUSED, f"The cluster refuses: {error}")
            case UnreachableError() | BackboneError():
                found = Verdict("waiting", BACKBONE_AWAY, str(error))
            case _:
                log.error("%s: a mistake of the operator's own", self.name, exc_info=error)
                return Verdict("waiting", REFUSED, f"The operator fails: {type(error).__name__}. See its log.")
        log.warning("%s: %s", self.name, error)
        return found

    async def _reconcile(self) -> bool:
        """One round; whether the tenant is gone for good."""
        seen = view(self._world.inventory, self.name)
        if seen is None:
            return True
        self._findings = _by_object(seen)
        if seen.policy.deleting and not users(seen.policy, seen.own):
            gone = await self._remove(seen)
            self._due = not gone
            return gone
        self._hindrance = await self._namespace(seen)
        await self._hold(seen)
        if self._hindrance is None and isinstance(seen.policy.resource, TenantPolicy):
            plan = next((p for p in self._compiler.compile(seen.resources).tenants if p.tenant == self.name), None)
            if plan is not None:
                self._generations.want(plan.configs)
                await self._apply(plan)
        return False

    async def _namespace(self, seen: View) -> Verdict | None:
        """Make the tenant's namespace; why it cannot be used, if so."""
        key = Key(NAMESPACE.kind, "", seen.namespace)
        found = await self._world.api.get(key)
        if found is None:
            made = namespaces.namespace(seen.tenant, seen.namespace)
            made["metadata"]["annotations"] = {CREATED: seen.tenant}
            await self._world.api.create(made)
            self._applied = _Applied()  # what was in it before went with it
            return None
        metadata = found["metadata"]
        owner = metadata.get("labels", {}).get(TENANT_LABEL)
        if owner != seen.tenant:
            whose = f"belongs to the tenant {owner}" if owner else "is not labelled as this tenant's"
            label = f"kubectl label namespace {seen.namespace} {TENANT_LABEL}={seen.tenant}"
            message = (
                f"The namespace {seen.namespace} is there and {whose}. If it is to be the tenant's: {label}; "
                "else name another in spec.namespace."
            )
            return Verdict("stalled", NAMESPACE_TAKEN, message)
        if metadata.get("deletionTimestamp"):
            return Verdict("waiting", NAMESPACE_ENDING, f"The namespace {seen.namespace} is being deleted")
        await self._apply_changed([namespaces.namespace(seen.tenant, seen.namespace)])
        return None

    async def _hold(self, seen: View) -> None:
        """Put finalizers on what must not go while it is needed, and take them off what may go."""
        for one in (seen.policy, *seen.own):
            if one is seen.policy and one.deleting:
                continue  # taken off by the removal, once all is removed
            patch = finalizers(one, needed=bool(users(one, seen.own)))
            if patch is not None and not await merge(self._world.api, self._world.inventory, one, patch):
                self.changed()

    async def _apply(self, plan: TenantPlan) -> None:
        """Account, then what the pods need, then the documents, then the pods; at last what is no longer wanted."""
        settings = self._world.settings
        size = storage_bytes(plan, settings.backbone_replicas)
        await self._account(size, grow_only=True)
        backbone = self._backbone = self._backbone or self._connection()
        made = bound(plan.manifests, symbols(settings))
        desired = [*self._secured(plan), *(pulled_with(obj, settings.pull_secrets) for obj in made)]
        await self._list_present(plan.namespace)
        self._forget_edited(plan.namespace)
        kept = {key for key in self._applied.present if key.kind == CLAIM and key.name == TABLES}
        todo = changes(desired, self._applied.digests, self._applied.present, kept)
        await self._apply_changed([obj for obj in todo.apply if obj["kind"] != "Deployment"])
        await backbone.ensure(plan, settings.backbone_replicas)
        await self._account(size)
        await self._apply_changed([obj for obj in todo.apply if obj["kind"] == "Deployment"])
        for key in todo.delete:
            await self._delete(key)

    def _secured(self, plan: TenantPlan) -> list[dict[str, Any]]:
        """What the authority's keys are in: credentials of the workers, certificate and accounts of the gateway."""
        authority, own = self._world.authority, (plan.tenant, plan.namespace)
        issued = dt.datetime.fromtimestamp(authority.issued_s, dt.UTC)
        pair = certificate(authority.seed(f"gateway/{plan.tenant}"), plan.namespace, issued)
        found = [
            backbone_secret(*own, authority.user(plan.tenant, "worker")),
            gateway.certificate_secret(*own, pair.certificate, pair.key),
            *gateway.accounts(*own),
        ]
        store = next((config.worker for config in plan.configs if config.store is not None), None)
        return [*found, gateway.service(*own, store, pair.certificate)] if store else found

    async def _account(self, size_bytes: int, *, grow_only: bool = False) -> None:
        if size_bytes == self._storage or (grow_only and self._storage is not None and size_bytes < self._storage):
            return
        world = self._world
        client = await connect(world.settings.backbone_url, world.authority.system_user())
        try:
            if await ensure_account(client, world.authority, self.name, size_bytes, grow_only=grow_only):
                log.info("%s: the account has %d bytes", self.name, size_bytes)
        finally:
            await client.close()
        if not grow_only:
            self._storage = size_bytes

    def _connection(self) -> TenantBackbone:
        creds = self._world.authority.user(self.name, "operator")
        return TenantBackbone(self._world.settings.backbone_url, creds, self._woken.set, self.changed)

    async def _list_present(self, namespace: str) -> None:
        """What of ours is there, whoever has made or left it."""
        if self._applied.listed:
            return
        for of in CHILDREN:
            if of.kind != "Secret":  # who may list them may read them all; ours have names that never change
                listing = await self._world.api.list(of, namespace, MANAGED, metadata_only=True)
                self._applied.present.update(key_of(item) for item in listing.items)
        self._applied.listed = True

    def _forget_edited(self, namespace: str) -> None:
        """A Deployment that somebody has edited or deleted is applied anew."""
        there = {seen.key: seen for seen in self._world.inventory.of("Deployment", namespace)}
        for key, generation in list(self._applied.generations.items()):
            seen = there.get(key)
            if seen is None or seen.generation != generation:
                self._applied.digests.pop(key, None)

    async def _apply_changed(self, objects: Iterable[Mapping[str, Any]]) -> None:
        for obj in objects:
            key, new = key_of(obj), digest(obj)
            if self._applied.digests.get(key) == new:
                continue
            try:
                made = await self._world.api.apply(obj)
            except RefusedError as error:
                if key.kind != CLAIM or key not in self._applied.present:
                    raise
                # A volume never shrinks, and not every one grows; what is on it is more important than its size.
                log.warning("%s: %s stays as it is: %s", self.name, key, error)
                made = dict(obj)
            self._applied.digests[key] = new
            self._applied.present.add(key)
            if key.kind == "Deployment":
                self._applied.generations[key] = int(made["metadata"]["generation"])
                self._world.inventory.see(made)

    async def _delete(self, key: Key) -> None:
        await self._world.api.delete(key)
        self._applied.present.discard(key)
        self._applied.digests.pop(key, None)
        self._applied.generations.pop(key, None)
        log.info("%s: %s is no longer wanted", self.name, key)

    async def _remove(self, seen: View) -> bool:
        """Take the tenant away, workers first; its data and its namespace only if the policy says so.

        Says whether it is gone, or has changed meanwhile and has to be looked at again.
        """
        policy, api, own = seen.policy, self._world.api, (seen.tenant, seen.namespace)
        deletes = isinstance(policy.resource, TenantPolicy) and policy.resource.spec.deletion_policy == "delete"
        found = await api.get(Key(NAMESPACE.kind, "", seen.namespace))
        if found is not None and found["metadata"].get("labels", {}).get(TENANT_LABEL) == seen.tenant:
            self._applied.listed = False
            await self._list_present(seen.namespace)
            ours = (backbone_secret(*own, ""), gateway.certificate_secret(*own, "", ""))
            self._applied.present.update(key_of(secret) for secret in ours)
            keep = set() if deletes else {k for k in self._applied.present if k.kind == CLAIM}
            for key in changes((), {}, self._applied.present, keep).delete:
                await self._delete(key)
            await api.delete(Key(CLUSTER_BINDING.kind, "", gateway.binding_name(seen.namespace)))
            if deletes:
                await self._remove_data()
                if CREATED in found["metadata"].get("annotations", {}):
                    await api.delete(Key(NAMESPACE.kind, "", seen.namespace), found["metadata"]["uid"])
        patch = finalizers(policy, needed=False)
        if patch is not None and not await merge(api, self._world.inventory, policy, patch):
            return False
        log.info("%s: the tenant is removed, its data is %s", self.name, "deleted" if deletes else "kept")
        return True

    async def _remove_data(self) -> None:
        """Streams and account. An account that was never made, or is gone since the last try, has no streams."""
        backbone = self._backbone = self._backbone or self._connection()
        client = await connect(self._world.settings.backbone_url, self._world.authority.system_user())
        try:
            if await has_account(client, self._world.authority, self.name):
                await backbone.delete_everything()
                await delete_account(client, self._world.authority, self.name)
        finally:
            await client.close()

    async def _tell(self) -> None:
        """Write the statuses that are due; what cannot be written now is due again the next time."""
        seen = view(self._world.inventory, self.name)
        if seen is None:
            return
        try:
            await self._look_for_trouble(seen)
            reports = self._backbone.reports if self._backbone is not None else {}
            workers = Workers(self._generations, reports, self._troubles, time.time_ns())
            now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            await self._world.statuses.write(of_tenant(seen, self._findings, workers, self._hindrance), now)
        except (RefusedError, UnreachableError) as error:
            log.warning("%s: the status cannot be written: %s", self.name, error)

    async def _look_for_trouble(self, seen: View) -> None:
        """Pods are looked at only where a worker is not up."""
        deployments = list(self._world.inventory.of("Deployment", seen.namespace))
        down = [deployment.raw for deployment in deployments if not runs(deployment.raw)]
        if not down:
            self._troubles = {}
            return
        pods = (await self._world.api.list(POD, seen.namespace, MANAGED)).items
        by_worker: dict[str, list[dict[str, Any]]] = {}
        for pod in pods:
            by_worker.setdefault(pod["metadata"]["labels"].get("app.kubernetes.io/instance", ""), []).append(pod)
        found = (trouble(one, by_worker.get(one["metadata"]["name"], [])) for one in down)
        self._troubles = {one.worker: one for one in found if one is not None}


def _by_object(seen: View) -> Findings:
    """What is wrong, by the object in which it is to be changed."""
    of: dict[int, Seen] = {id(one.resource): one for one in (seen.policy, *seen.own) if one.resource is not None}
    found: dict[Key, list[Any]] = {}
    for finding in check(seen.resources):
        one = of.get(id(finding.resource))
        if one is not None:
            found.setdefault(one.key, []).append(finding)
    return found
