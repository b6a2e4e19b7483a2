"""A small plant's streams, made by the real steps, and a historian that has read them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.support.lines import LINE, MODEL, PIPELINE, POLICY, SECOND, START, healthy, line_config
from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, HEADER_TICK, HEADER_TRACE, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.runtime.blocks import Block, from_bytes, to_bytes
from wheeltapper_workers.scoring.scorer import ScoreStep

MS = 10**6
STORE = StoreConfig(tenant="northwater", lines=[], commit_every_ns=10 * SECOND, commit_rows=100_000)
NOW = START + 3600 * SECOND
BLOCK_SECONDS = 10


@dataclass(frozen=True)
class Stored:
    """A message as a stream holds it."""

    stage: Stage
    sequence: int
    published_ns: int
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)
    subject: str = ""

    def add_to(self, historian: Historian):
        subject = self.subject or LINE.subject(self.stage, "writer")
        return historian.add(self.stage, self.sequence, self.published_ns, subject, self.payload, self.headers)


def telemetry(seconds: int, first: int = 1, seed: int = 1, block_seconds: int = BLOCK_SECONDS) -> list[Stored]:
    """Blocks of equal length; received 20 ms after the newest sample, published 30 ms after that."""
    samples = healthy(seconds, seed=seed)
    samples.received = samples.time + 20 * MS + 7  # the collector's clock counts nanoseconds
    blocks = np.array_split(np.arange(len(samples)), seconds // block_seconds)
    return [
        Stored(
            Stage.TELEMETRY,
            sequence,
            int(samples.time[rows[-1]]) + 50 * MS,
            to_bytes(samples.take(rows).batch()),
            {HEADER_TRACE: f"00-{sequence:032x}-{sequence:016x}-01", HEADER_GENERATION: "0123456789abcdef"},
        )
        for sequence, rows in enumerate(blocks, first)
    ]


def derived(step, source: list[Stored], stage: Stage, delay_ns: int) -> list[Stored]:
    """What a step makes of stored messages, published ``delay_ns`` after each."""
    state, made = step.initial(line_config()), []
    for message in source:
        batch = from_bytes(message.payload, message.stage)
        state, outputs = step.step(state, Block(message.stage.stream, message.sequence, batch))
        made += [
            Stored(
                stage,
                len(made) + 1 + part,
                message.published_ns + delay_ns,
                to_bytes(output),
                message.headers | {HEADER_INPUT: f"{message.sequence}:{part}"},
            )
            for part, output in enumerate(outputs)
        ]
    return made


def tick(stage: Stage, sequence: int) -> Stored:
    return Stored(stage, sequence, NOW, b"", {HEADER_TICK: str(NOW)})


def event(
    sequence: int, alert_id: str, kind: str = "opened", severity: str = "warn", score: float = 1.25, **lineage
) -> Stored:
    """An alert's event, resting on whatever the lineage is given."""
    made_of = {
        "signals": ["vibration"],
        "telemetry": {"stream": "TELEMETRY", "first": 1, "last": 1},
        "features": {"stream": "FEATURES", "first": 1, "last": 1},
        "scores": {"stream": "SCORES", "first": 1, "last": 1},
        "pipelineDigest": PIPELINE.digest,
        "modelDigest": "sha256:" + "1" * 64,
        "baselineDigest": "sha256:" + "2" * 64,
        "policyDigest": POLICY.digest,
        "failureModel": MODEL.name,
        "failureModelVersion": MODEL.version,
        "generation": "0123456789abcdef",
        "windowEnd": "2023-11-14T22:13:50Z",
        "rule": {"severity": severity, "above": 1.0, "hold": "20s", "score": score},
        "traceId": "a" * 32,
        "software": {},
    } | lineage
    alert = {
        "alertId": alert_id,
        "asset": "p-1",
        "assetTitle": "P-1",
        "plant": LINE.plant,
        "class": LINE.asset_class,
        "criticality": "A",
        "failureModel": MODEL.name,
        "failureMode": MODEL.failure_mode,
        "severity": severity,
        "state": "cleared" if kind == "cleared" else "open",
        "score": score,
        "peakScore": score,
        "since": "2023-11-14T22:13:30Z",
        "opened": "2023-11-14T22:13:50Z",
        "updated": "2023-11-14T22:13:50Z",
        "confidence": 0.9,
        "confidenceBecause": "all windows above the limit",
        "delayed": False,
        "twinMode": "review",
        "operatingMode": "running",
        "summary": "Vibration is higher than this pump's own normal at this load",
        "contributions": [],
        "action": MODEL.action.model_dump(by_alias=True),
        "lineage": made_of,
    }
    document = {
        "id": f"{alert_id}/{sequence}",
        "source": "/northwater/riverside",
        "type": f"dev.wheeltapper.alert.{kind}.v1",
        "subject": "p-1",
        "time": f"2023-11-14T22:14:{sequence % 60:02d}Z",
        "data": alert,
    }
    return Stored(Stage.EVENTS, sequence, NOW + sequence * SECOND, json.dumps(document).encode(), {HEADER_INPUT: "1:0"})


@pytest.fixture(scope="session")
def flow() -> dict[Stage, list[Stored]]:
    """Forty minutes of three pumps, as all streams hold them; the models have learned by the end."""
    raw = telemetry(2400)
    features = derived(FeaturizeStep(line_config()), raw, Stage.FEATURES, 20 * MS)
    scores = derived(ScoreStep(line_config()), features, Stage.SCORES, 10 * MS)
    events = [
        event(1, "aaa1"),
        event(2, "bbb1", severity="watch"),
        event(3, "aaa1", "changed", "act", 3.0),
        event(4, "aaa2", "opened"),
        event(5, "aaa1", "cleared"),
    ]
    return {Stage.TELEMETRY: raw, Stage.FEATURES: features, Stage.SCORES: scores, Stage.EVENTS: events}


@pytest.fixture(scope="session")
def plant(flow, tmp_path_factory) -> str:
    """Root of tables that hold the whole flow."""
    root = str(tmp_path_factory.mktemp("tables"))
    historian = Historian(root, STORE)
    for messages in flow.values():
        for message in messages:
            assert message.add_to(historian) is None
    historian.commit()
    return root
