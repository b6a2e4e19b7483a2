"""The bare client of asyncua, counting: ``python -m tests.bench.source.asyncua_client URL ASSETS SIGNALS ROWS``.

It does nothing with a sample but add it to a count and a sum.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

from asyncua import Client, ua


class Counter:
    """Counts data changes."""

    def __init__(self, rows: int) -> None:
        self.count, self.total, self._rows = 0, 0.0, rows
        self.done = asyncio.Event()
        self.began_s = 0.0
        self.began_cpu_s = 0.0

    def datachange_notification(self, _node: object, value: float, _data: object) -> None:
        """One sample."""
        if not self.count:
            self.began_s, self.began_cpu_s = time.perf_counter(), time.process_time()
        self.count += 1
        self.total += value
        if self.count == self._rows:
            self.done.set()


async def main(url: str, assets: int, signals: int, rows: int) -> None:
    """Subscribe, count, and print what was found."""
    logging.disable(logging.CRITICAL)
    counter = Counter(rows)
    async with Client(url, timeout=30) as client:
        subscription = await client.create_subscription(
            ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=100,
                RequestedLifetimeCount=3000,
                RequestedMaxKeepAliveCount=50,
                MaxNotificationsPerPublish=5000,
                PublishingEnabled=True,
            ),
            counter,
        )
        nodes = [client.get_node(f"ns=2;s=M{a}.S{s}") for a in range(assets) for s in range(signals)]
        for at in range(0, len(nodes), 500):
            await subscription.subscribe_data_change(nodes[at : at + 500])
        print(json.dumps({"subscribed": True}), flush=True)
        await asyncio.wait_for(counter.done.wait(), 120)
        seconds, cpu = time.perf_counter() - counter.began_s, time.process_time() - counter.began_cpu_s
        found = {"count": counter.count, "total": counter.total, "seconds": seconds, "cpuSeconds": cpu}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
