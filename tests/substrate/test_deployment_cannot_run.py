"""What only a cluster could run, or nobody, is refused in words before anything is changed."""

from __future__ import annotations

import sys

import pytest

from tests.support.plans import deployment
from wheeltapper_edge.substrates.processes import ProcessSubstrate, SubstrateError, bind

SYMBOLS = {"state": "/state/one", "backbone.url": "nats://127.0.0.1:4222"}


def test_symbols_are_bound_wherever_they_stand():
    command = bind(deployment("one", "print('${state}')", URL="${backbone.url}/x", BOTH="${state}:${state}"), SYMBOLS)
    assert command.arguments == (sys.executable, "-I", "-c", "print('/state/one')")
    assert dict(command.environment) == {"URL": "nats://127.0.0.1:4222/x", "BOTH": "/state/one:/state/one"}


@pytest.mark.parametrize("symbol", ["unknown", "Backbone.URL", "secrets.my-secret", "state_dir", ""])
def test_unknown_symbol_is_named_with_the_known_ones(symbol):
    text = f"${{{symbol}}}"
    with pytest.raises(SubstrateError) as caught:
        bind(deployment("one", "", PLACE=text), SYMBOLS)
    assert str(caught.value) == f"Worker one asks for {text}; known are backbone.url, state"


def test_bound_value_is_not_bound_again():
    command = bind(deployment("one", "", PLACE="${state}"), {"state": "/odd/${state}"})
    assert dict(command.environment)["PLACE"] == "/odd/${state}"


def test_value_from_a_cluster_is_refused():
    manifest = deployment("one", "")
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    ]
    with pytest.raises(SubstrateError, match="Worker one: NODE has no value"):
        bind(manifest, SYMBOLS)


async def test_refused_plan_changes_nothing(tmp_path):
    substrate = ProcessSubstrate(tmp_path)
    try:
        wait = deployment("one", "import signal; signal.pause()")
        await substrate.apply([wait])
        for wrong in ([wait, wait], [deployment("two", "${nothing}")]):
            with pytest.raises(SubstrateError, match=r"Two workers are named one|Worker two asks for"):
                await substrate.apply(wrong)
        assert list(substrate.status()) == ["one"]
    finally:
        await substrate.stop()


async def test_plan_without_a_tenant_is_refused(tmp_path):
    substrate = ProcessSubstrate(tmp_path)
    try:
        with pytest.raises(SubstrateError, match="no tenant"):
            await substrate.start([])
    finally:
        await substrate.stop()
