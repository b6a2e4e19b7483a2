"""The manifests of the plant under test, and the plan of them with a process for every role."""

from __future__ import annotations

from typing import Any, Final
from unittest import mock

from tests.chaos.plant import BURST, LIMIT, SIGNALS, Settings
from wheeltapper_api.checks import check
from wheeltapper_api.fields import API_VERSION
from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel, Plant, Resource, TenantPolicy
from wheeltapper_api.plan import Plan
from wheeltapper_operator.compile import compile_plan, placement

TENANT: Final = "chaos"
CLASSES: Final = {"opcua": "spoken-opcua", "mqtt": "spoken-mqtt"}


def plan(settings: Settings) -> Plan:
    """The plan; featurizer, scorer and alerter get a process each, as in a large plant."""
    resources = list(_resources(settings))
    if findings := check(resources):
        raise AssertionError("\n".join(f"{one.resource.name} {one.path}: {one.message}" for one in findings))
    with mock.patch.object(placement, "SPREAD_SAMPLES_PER_SECOND", 0):
        return compile_plan(resources)


def _resources(settings: Settings) -> list[Resource]:
    found: list[Resource] = [_policy(), _plant(settings)]
    for name in CLASSES.values():
        found += [_asset_class(name, settings), _model(name)]
    for number in range(settings.assets):
        name = CLASSES["mqtt" if settings.speaks_mqtt(number) else "opcua"]
        spec = {"class": name, "plant": "hall", "tag": settings.asset(number), "mode": "review"}
        found.append(AssetTwin.model_validate(_kind(settings.asset(number), spec)))
    return found


def _kind(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "metadata": {"name": name, "namespace": TENANT}, "spec": spec}


def _policy() -> TenantPolicy:
    spec = {
        "title": "Chaos",
        "limits": {"twins": 100, "signals": 1000, "samplesPerSecond": 20000, "storage": "5Gi"},
        "library": {"failureModels": []},
    }
    return TenantPolicy.model_validate({"apiVersion": API_VERSION, "metadata": {"name": TENANT}, "spec": spec})


def _plant(settings: Settings) -> Plant:
    clock = {"maxAhead": "1m", "maxBehind": "90d"}
    mqtt = [{"name": signal, "topic": f"{{tag}}/{signal}", "path": "$.v", "timePath": "$.t"} for signal in SIGNALS]
    opcua = [{"name": signal, "node": f"ns=2;s={{tag}}.{signal}"} for signal in SIGNALS]
    return Plant.model_validate(
        _kind(
            "hall",
            {
                "title": "Hall",
                "hosting": "private",
                "connections": [
                    {
                        "name": "scada",
                        "opcua": {"endpoint": settings.opcua, "publishingInterval": "200ms"},
                        "clock": clock,
                    },
                    {"name": "gateway", "mqtt": {"url": f"mqtt://127.0.0.1:{settings.broker}"}, "clock": clock},
                ],
                "addressing": [
                    {"class": CLASSES["opcua"], "from": "scada", "signals": opcua},
                    {"class": CLASSES["mqtt"], "from": "gateway", "signals": mqtt},
                ],
            },
        )
    )


def _asset_class(name: str, settings: Settings) -> AssetClass:
    gauge = {"interval": f"{settings.period_ms}ms", "staleAfter": "60s"}
    rare = {"interval": "10s", "staleAfter": "1h"}
    vibration = {"kind": "gauge", "quantity": "velocity", "statistic": "rms", "unit": "mm/s"}
    burst = {"kind": "waveform", "quantity": "acceleration", "unit": "m/s2"}
    states = [{"value": 0, "name": "idle"}, {"value": 1, "name": "slow"}, {"value": 2, "name": "fast"}]
    return AssetClass.model_validate(
        _kind(
            name,
            {
                "title": "Machine",
                "version": "1.0.0",
                "signals": [
                    {"name": "vibration", "title": "Vibration", "contract": gauge, **vibration},
                    {
                        "name": "flow",
                        "title": "Flow",
                        "kind": "gauge",
                        "quantity": "flow",
                        "unit": "m3/h",
                        "contract": gauge | {"maxRate": 20},
                    },
                    {"name": "state", "title": "State", "kind": "state", "states": states, "contract": rare},
                    {
                        "name": "burst",
                        "title": "Burst",
                        "waveform": {"sampleRate": 1000, "samples": BURST},
                        "contract": {"interval": "3s", "staleAfter": "60s"},
                        **burst,
                    },
                ],
                "modes": [{"name": "running", "title": "Running"}],
                "pipeline": {
                    "every": "2s",
                    "lateness": "1s",
                    "features": [
                        {"name": "level", "title": "Vibration", "of": "vibration", "function": "mean", "window": "4s"},
                        {"name": "spread", "title": "Spread", "of": "flow", "function": "std", "window": "8s"},
                        {
                            "name": "fast",
                            "title": "Share of fast running",
                            "of": "state",
                            "function": "share",
                            "equals": "fast",
                            "window": "8s",
                        },
                        {"name": "force", "title": "Force", "of": "burst", "function": "rms", "window": "6s"},
                    ],
                },
            },
        )
    )


def _model(name: str) -> FailureModel:
    return FailureModel.model_validate(
        _kind(
            f"wear-{name}",
            {
                "class": name,
                "version": "1.0.0",
                "failureMode": {"title": "Wear", "description": "Made up for the test.", "progression": "1d"},
                "inputs": [{"feature": "level", "direction": "up"}],
                "modes": ["running"],
                "detector": {"fixedLimit": {"limits": [{"feature": "level", "normal": 2, "limit": LIMIT}]}},
                "minCoverage": 90,
                "severity": [{"name": "warn", "above": 1.0, "for": "4s"}],
                "clear": {"below": 0.8, "for": "4s"},
                "action": {"recommend": "Nothing", "when": "next-planned-stop"},
            },
        )
    )
