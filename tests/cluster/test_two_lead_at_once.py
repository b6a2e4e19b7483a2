"""Two replicas that act at once undo each other's work; none that acts leaves a cluster unattended."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from tests.cluster.cluster import Cluster
from tests.support.waiting import until
from wheeltapper_operator.kube.api import Api
from wheeltapper_operator.kube.leader import DURATION_S, Leader

NAMESPACE = "election"


class Replica:
    """A replica that only campaigns."""

    def __init__(self, api, identity):
        self.leader = Leader(api, NAMESPACE, identity)
        self.task = asyncio.create_task(self.leader.run())

    async def end(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def api(cluster):
    if not isinstance(cluster, Cluster):
        pytest.skip("It makes a namespace of its own, and this cluster is somebody else's")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    found = await Api.connect(cluster.kubeconfig)
    yield found
    await found.close()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=60s")


async def elected(*replicas):
    return await until(lambda: [one for one in replicas if one.leader.may_act], 30, "a leader")


async def test_one_leads_and_gives_back(api):
    replicas = [Replica(api, "one"), Replica(api, "two")]
    (first,) = await elected(*replicas)
    other = next(one for one in replicas if one is not first)
    began = time.monotonic()
    await first.end()
    assert not first.leader.may_act
    assert await elected(other) == [other]
    assert time.monotonic() - began < DURATION_S, "one that goes need not be waited for"
    await other.end()


async def test_one_that_falls_silent_stops_before_the_next_begins(api, monkeypatch):
    first = Replica(api, "one")
    await elected(first)
    other = Replica(api, "two")

    async def hang():
        await asyncio.sleep(3600)

    monkeypatch.setattr(first.leader, "_hold", hang)  # its requests get no answer any more
    seen = []
    began = time.monotonic()
    while not other.leader.may_act:
        seen.append(first.leader.may_act)
        assert not (first.leader.may_act and other.leader.may_act)
        assert time.monotonic() - began < DURATION_S + 10
        await asyncio.sleep(0.05)
    assert not first.leader.may_act
    assert seen[0]
    assert not seen[-1]
    monkeypatch.setattr(first.leader, "_give_back", lambda: asyncio.sleep(0))
    await first.end()
    lease = await api.get(other.leader._key)
    assert lease["spec"]["holderIdentity"] == "two"
    await other.end()
