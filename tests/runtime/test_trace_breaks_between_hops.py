"""An alert's trace begins at the collector: every hop continues the context of the block it works on."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.lines import LINE, healthy, line_config
from tests.support.waiting import until
from wheeltapper_api.config import Role
from wheeltapper_api.wire import Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime import jetstream, tracing
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.line import LineRole
from wheeltapper_workers.scoring.scorer import ScoreStep


@pytest.fixture(scope="module")
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_one_span_a_block_in_one_trace(server, tmp_path, spans):
    client = await jetstream.connect(server.url, server.credentials, "test")
    blocks = 5
    samples = healthy(100)
    traces = []
    for second in range(0, 100, 100 // blocks):
        part = samples.take((samples.time - samples.time[0]) // 10**9 // (100 // blocks) == second // (100 // blocks))
        with tracing.span(trace.get_tracer("test"), "collect", "", {}) as root:
            traces.append(root.get_span_context().trace_id)
            await client.jetstream().publish(
                LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(part.batch()), headers=tracing.headers()
            )
    roles = [
        LineRole(client, role, line_config(), step(line_config()), CheckpointStore(tmp_path, role.value))
        for role, step in ((Role.FEATURIZE, FeaturizeStep), (Role.SCORE, ScoreStep))
    ]
    for role in roles:
        await role.start({})
    tasks = [asyncio.create_task(role.run()) for role in roles]
    await until(lambda: roles[0].progress.position > blocks and roles[1].progress.position >= roles[0].progress.outputs)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await client.close()
    of_blocks = [span for span in spans.get_finished_spans() if span.parent]  # nothing is before a tick
    by_name = {name: [span for span in of_blocks if span.name == name] for name in ("featurize", "score")}
    assert [span.context.trace_id for span in by_name["featurize"]] == traces
    assert {span.context.trace_id for span in by_name["score"]} <= set(traces)
    parents = {span.context.span_id for span in by_name["featurize"]}
    assert all(span.parent.span_id in parents for span in by_name["score"])
    assert len(by_name["score"]) == roles[1].progress.blocks
