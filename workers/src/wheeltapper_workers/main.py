"""The process of a worker: ``python -m wheeltapper_workers``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pkgutil import resolve_name
from typing import Any, Final

from nats.aio.client import Client

from wheeltapper_api.config import CollectorConfig, LineConfig, Role, WorkerConfig
from wheeltapper_workers.runtime import jetstream, memory, metrics, tracing
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.fenced import Fenced
from wheeltapper_workers.runtime.keeper import Keeper
from wheeltapper_workers.runtime.room import STORE
from wheeltapper_workers.runtime.step import Step
from wheeltapper_workers.runtime.worker import Environment, Part, Worker
from wheeltapper_workers.sources.base import Kept, Source

log = logging.getLogger(__name__)

FENCED: Final = 75
"""Exit code when another instance has taken over (``EX_TEMPFAIL``): starting again is right."""


# Loaded when a role needs them: a collector should not carry ONNX Runtime, nor a scorer an OPC UA stack.
_STEPS: Final = {
    Role.FEATURIZE: "wheeltapper_workers.features.featurizer:FeaturizeStep",
    Role.SCORE: "wheeltapper_workers.scoring.scorer:ScoreStep",
    Role.ALERT: "wheeltapper_workers.alerts.alerter:AlertStep",
}
_SOURCES: Final = {
    "mqtt": "wheeltapper_workers.sources.mqtt:MqttSource",
    "opcua": "wheeltapper_workers.sources.opcua:OpcUaSource",
}
_COLLECTOR: Final = "wheeltapper_workers.sources.collector:Collector"
_RECORDER: Final = "wheeltapper_workers.history.recorder:Recorder"


def make_step(role: Role, config: LineConfig) -> Step[Any]:
    """Step of a role."""
    step: Step[Any] = resolve_name(_STEPS[role])(config)
    return step


def make_parts(environment: Environment, client: Client, config: WorkerConfig) -> dict[str, Part]:
    """Collectors and historian of a worker."""

    def make_source(collector: CollectorConfig, kept: Kept) -> Source:
        secret = environment.secrets / collector.secret if collector.secret else None
        source: Source = resolve_name(_SOURCES[collector.protocol])(collector, secret=secret, kept=kept)
        return source

    parts: dict[str, Part] = {}
    for collector in config.collectors if Role.COLLECT in config.roles else []:
        key = f"collect-{collector.plant}-{collector.name}"
        store = CheckpointStore(environment.state / "checkpoints", key)
        parts[key] = resolve_name(_COLLECTOR)(client, collector, make_source, store)
    if config.store is not None:
        parts[STORE] = resolve_name(_RECORDER)(client, environment.tables, config.store, environment.secrets)
        parts["keep"] = Keeper(client, config.store)
    return parts


async def run() -> int:
    """Run the worker until it is told to stop; returns the exit code."""
    environment = Environment.read()
    provider = tracing.start(environment.worker, environment.worker)
    client = await jetstream.connect(environment.backbone, environment.credentials, environment.worker)
    worker = Worker(environment, client, make_step, make_parts)
    meters = metrics.start(environment.worker, environment.worker, lambda: worker.newest)
    task = asyncio.create_task(worker.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        await worker.stop()
    except BaseExceptionGroup as group:
        fenced = group.subgroup(Fenced)
        if fenced is None:
            raise
        log.warning("%s", fenced.exceptions[0])
        return FENCED
    finally:
        await client.close()
        provider.shutdown()
        if meters is not None:
            meters.shutdown()
    return 0


def main() -> None:
    """Entry point."""
    memory.keep_freed()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    for name in ("asyncua", "nats"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.exit(asyncio.run(run()))
