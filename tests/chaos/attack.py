"""One run: the whole line as processes, killed and stopped at random, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from nats.js.errors import NotFoundError

from tests.chaos import world
from tests.chaos.judge import Verdict, judge
from tests.chaos.plant import Settings
from tests.support.mosquitto import Broker
from tests.support.nats import free_port
from wheeltapper_api.config import CollectorConfig, LineConfig
from wheeltapper_api.plan import Plan
from wheeltapper_api.wire import STATUS_BUCKET, Stage
from wheeltapper_cli import live
from wheeltapper_edge.backbone import NAME as BACKBONE
from wheeltapper_edge.substrates.processes import ProcessSubstrate, supervisor
from wheeltapper_workers.history.tables import SCHEMAS
from wheeltapper_workers.runtime import jetstream

ROOT: Final = Path(__file__).parents[2]
_STREAMS: Final = {"featurize": Stage.TELEMETRY, "score": Stage.FEATURES, "alert": Stage.SCORES}
_SETTLE_S: Final = 120.0


@dataclass(frozen=True)
class Orders:
    """What to do to a run."""

    seed: int
    kills: int
    pause_s: float = 2.0
    """Between two attacks, on average."""
    stopped_share: float = 0.25
    """Of the attacks: SIGSTOP for up to ``longest_stop_s``, instead of SIGKILL."""
    longest_stop_s: float = 8.0
    asked_share: float = 0.1
    """Besides, orderly stops with SIGTERM."""
    quiet_s: float = 20.0
    """Without attacks at the end."""
    assets: int = 6
    period_ms: int = 500


@dataclass
class Result:
    """What came of it."""

    seed: int
    history: bool
    attacks: dict[str, int] = field(default_factory=dict)
    """By ``SIGKILL featurize`` and the like."""
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    gaps: int = 0
    recovered: int = 0

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "verdict"},
            **{name: one[:20] if isinstance(one, list) else one for name, one in asdict(self.verdict).items()},
            "exact": self.verdict.exact,
        }


class Plant:
    """The plant's process."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings, self._log = settings, log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until clients may come."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-W", "ignore", "-m", "tests.chaos.plant", self.settings.text()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        await self._said("ready")

    async def finish(self) -> int:
        """No more samples; the servers stay up until it is closed."""
        await self._tell()
        return int((await self._said("samples"))["samples"])

    async def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            await self._tell()
        try:
            await asyncio.wait_for(self._process.wait(), 20)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _tell(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()

    async def _said(self, word: str) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        found: dict[str, Any] = json.loads(line or b"{}")
        assert word in found, f"the plant failed: {self._log.read_text()[-2000:]}"
        return found


async def attacked(orders: Orders, folder: Path) -> Result:
    """Run a plant and the line, attack the line, let it settle, and compare.

    Raises
    ------
    AssertionError
        If it does not come up, or does not settle.
    """
    began = time.monotonic()
    broker = Broker(folder / "broker")
    broker.start()
    history = orders.seed % 2 == 0
    truth = folder / "truth.parquet"
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    settings = Settings(orders.seed, url, broker.port, orders.assets, orders.period_ms, history, str(truth))
    plan, plant = world.plan(settings), Plant(settings, folder / "plant.log")
    result = Result(orders.seed, history)
    # A worker that was killed is started again at once: the time is for attacks, not for waiting.
    with mock.patch.object(supervisor, "HEALTHY_S", 0.0):
        substrate = ProcessSubstrate(folder / "state")
        try:
            await plant.start()
            await _start(substrate, plan)
            await _attack(substrate, orders, result)
            await asyncio.sleep(orders.quiet_s)
            await plant.finish()
            await _settled(substrate, folder)
        finally:
            await substrate.stop()
            await plant.close()
            broker.stop()
    result.seconds = round(time.monotonic() - began, 1)
    tables = folder / "state" / "tables" / world.TENANT
    gaps = _table(tables / "gaps")
    result.gaps, result.recovered = len(gaps), sum(gaps["recovered"].to_pylist())
    result.verdict = judge(
        pq.read_table(truth), _table(tables / "raw"), gaps, _table(tables / "events")["document"].to_pylist(), ran(plan)
    )
    return result


def ran(plan: Plan) -> list[tuple[CollectorConfig, LineConfig]]:
    """Each line with the collector that reads its machines."""
    (tenant,) = plan.tenants
    collectors = [one for config in tenant.configs for one in config.collectors]
    lines = {one.line: one for config in tenant.configs for one in config.lines}
    return [(one, lines[one.series[0].line]) for one in collectors]


async def _start(substrate: ProcessSubstrate, plan: Plan) -> None:
    await substrate.start(plan.tenants)
    await substrate.apply([deployment for tenant in plan.tenants for deployment in tenant.deployments])
    deadline = time.monotonic() + 60
    while not await _everything_flows(substrate):
        assert time.monotonic() < deadline, "the line did not come up"
        await asyncio.sleep(0.2)


async def _everything_flows(substrate: ProcessSubstrate) -> bool:
    parts = await _parts(substrate)
    collectors = [part for key, part in parts.items() if key.startswith("collect-")]
    return len(collectors) == 2 and all(part["samples"] > 0 for part in collectors)


async def _attack(substrate: ProcessSubstrate, orders: Orders, result: Result) -> None:
    chance = random.Random(orders.seed)
    done = 0
    while done < orders.kills:
        await asyncio.sleep(chance.expovariate(1 / orders.pause_s))
        name = chance.choice(sorted(substrate.status()))
        pid = substrate.status()[name].pid
        stop = chance.random() < orders.stopped_share
        for_s, asked = chance.uniform(0.2, orders.longest_stop_s), chance.random() < orders.asked_share
        if pid is None:
            continue  # it is down already
        kind = signal.SIGSTOP if stop else signal.SIGTERM if asked else signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, kind)
            if stop:
                await asyncio.sleep(for_s)
                os.killpg(pid, signal.SIGCONT)
            done += kind is not signal.SIGTERM
            role = name.removeprefix(f"{world.TENANT}-").removeprefix("hall-")
            what = f"{kind.name} {'nats' if name == BACKBONE else role}"
            result.attacks[what] = result.attacks.get(what, 0) + 1


async def _settled(substrate: ProcessSubstrate, folder: Path) -> None:
    """Wait until every role is through and the tables have everything."""
    deadline, quiet = time.monotonic() + _SETTLE_S, 0
    before: Any = None
    while quiet < 5:
        found = await _position(substrate)
        quiet = quiet + 1 if found is not None and found == before else 0
        before = found
        assert time.monotonic() < deadline, f"it does not settle: {found}; logs in {folder}"
        await asyncio.sleep(0.5)


async def _position(substrate: ProcessSubstrate) -> Any:
    """Where everything stands, if everybody is through with what there is; else None."""
    if any(state.pid is None for state in substrate.status().values()):
        return None
    parts = await _parts(substrate)
    if not all(part.get("connected", True) for part in parts.values()):
        return None
    client = await _client(substrate)
    try:
        last = {}
        for stage in Stage:
            info = await client.jetstream().stream_info(stage.stream, subjects_filter=">")
            for subject in info.state.subjects or {}:
                message = await client.jetstream().get_last_msg(stage.stream, subject)
                last[subject] = message.seq or 0
    except (NotFoundError, OSError, TimeoutError):
        return None
    finally:
        await client.close()
    covered = parts.get("store", {}).get("positions", {})
    blocks = {subject: sequence for subject, sequence in last.items() if not subject.endswith((".tick", ".clock"))}
    for subject, sequence in blocks.items():
        if covered.get(subject.partition(".")[0].upper(), 0) < sequence:
            return None
    for key, part in parts.items():
        stage = _STREAMS.get(key.partition("-")[0])
        if stage is not None:
            line = f"{stage.value}.{part['line']['tenant']}.{part['line']['plant']}.{part['line']['assetClass']}."
            if any(part["position"] < sequence for subject, sequence in blocks.items() if subject.startswith(line)):
                return None
    return blocks


async def _parts(substrate: ProcessSubstrate) -> dict[str, dict[str, Any]]:
    """Summaries of the workers' parts; nothing while the backbone is away."""
    try:
        client = await _client(substrate)
    except (OSError, TimeoutError):
        return {}
    try:
        documents = await live.documents(client, STATUS_BUCKET)
    except (OSError, TimeoutError, NotFoundError):
        return {}
    finally:
        await client.close()
    return {key: part for text in documents.values() for key, part in json.loads(text)["parts"].items()}


async def _client(substrate: ProcessSubstrate) -> Any:
    return await jetstream.connect(substrate.url, substrate.secrets / f"backbone-{world.TENANT}", "chaos")


def _table(path: Path) -> pa.Table:
    return DeltaTable(str(path)).to_pyarrow_table() if path.is_dir() else SCHEMAS[path.name].empty_table()
