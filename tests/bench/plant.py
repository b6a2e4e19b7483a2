"""A simulated plant of mixed machines through every step: which failures are found, how early, and at what price.

``python -m tests.bench.plant --seed N [--machines 300] [--days 7] [--output json]``

The machines of the simulated fleet send what real ones would; their values go through the contract, the feature
pipeline, the models and the alert policy of the library, unchanged, in the order in which they would arrive. An alert
is right if it names the fault that grows on that machine; it is false if nothing is wrong with the machine then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from tests.support.drive import WholeLine
from wheeltapper_api.checks import check as check_resources
from wheeltapper_api.config import CollectorConfig, LineConfig
from wheeltapper_api.fields import API_VERSION
from wheeltapper_api.kinds import AssetTwin, Plant, Resource, TenantPolicy
from wheeltapper_api.library import library_resources
from wheeltapper_operator.compile import compile_plan
from wheeltapper_workers.contracts.raw import RawBatch, raw_batch
from wheeltapper_workers.simulator.fleet.fleet import Chunk, Fleet, chunks, random_fleet
from wheeltapper_workers.simulator.fleet.machines import MACHINES

NS = 10**9
START_S = 1_790_035_200  # a Monday, 00:00 UTC
BLOCK_S = 1800
DAY_S = 86_400


@dataclass
class Found:
    """What the alerts of one class said: asset, failure model, seconds since 1970."""

    opened: list[tuple[str, str, float]] = field(default_factory=list)
    samples: int = 0
    rows: int = 0
    scores: int = 0
    seconds: float = 0.0


def resources(fleet: Fleet) -> list[Resource]:
    """The plant, written down."""
    policy = TenantPolicy.model_validate(
        {
            "apiVersion": API_VERSION,
            "metadata": {"name": "bench"},
            "spec": {
                "title": "Bench",
                "limits": {"twins": 5000, "signals": 90000, "samplesPerSecond": 50000, "storage": "20Gi"},
                "retention": {
                    "raw": "30d",
                    "features": "400d",
                    "scores": "400d",
                    "events": "3650d",
                    "aroundIncidents": "1825d",
                },
            },
        }
    )
    addressing = [
        {
            "class": kind,
            "from": "scada",
            "signals": [{"name": name, "node": f"ns=2;s={{tag}}.{name}"} for name in names(kind)],
        }
        for kind in fleet.members
    ]
    plant = Plant.model_validate(
        {
            "apiVersion": API_VERSION,
            "metadata": {"name": "works", "namespace": "bench"},
            "spec": {
                "title": "Works",
                "hosting": "private",
                "connections": [
                    {
                        "name": "scada",
                        "opcua": {"endpoint": "opc.tcp://127.0.0.1:4840"},
                        "clock": {"maxAhead": "90d", "maxBehind": "90d"},
                    }
                ],
                "addressing": addressing,
            },
        }
    )
    twins = [
        AssetTwin.model_validate(
            {
                "apiVersion": API_VERSION,
                "metadata": {"name": asset, "namespace": "bench"},
                "spec": {"class": kind, "plant": "works", "tag": asset, "mode": "review"},
            }
        )
        for kind, assets in fleet.members.items()
        for asset in assets
    ]
    return [policy, plant, *twins, *library_resources()]


def names(kind: str) -> list[str]:
    """Signals that the simulated machine sends."""
    machine = MACHINES[kind]
    return [signal.name for signal in machine.signals] + ([machine.waveform] if machine.waveform else [])


def configs(fleet: Fleet, kind: str) -> tuple[CollectorConfig, LineConfig]:
    """Collector and line of one class, as the compiler makes them."""
    everything = resources(fleet)
    if findings := [f"{f.resource.name} {f.path}: {f.message}" for f in check_resources(everything)]:
        raise SystemExit("\n".join(findings[:10]))
    (tenant,) = compile_plan(everything).tenants
    line = next(line for config in tenant.configs for line in config.lines if line.line.asset_class == kind)
    (collector,) = [collector for config in tenant.configs for collector in config.collectors]
    series = [one for one in collector.series if one.line == line.line]
    return collector.model_copy(update={"series": series}), line


def batches(
    chunk: Chunk, collector: CollectorConfig, kind: str, assets: list[str], block_s: int = BLOCK_S
) -> Iterator[RawBatch]:
    """A chunk's samples as they arrive, which is when they are measured, whatever their clocks say."""
    place = {(one.asset, one.signal): position for position, one in enumerate(collector.series)}
    machine = MACHINES[kind]
    signals = [signal.name for signal in machine.signals]
    series = np.array([[place[asset, signal] for signal in signals] for asset in assets])
    texts = {signals.index(signal.name): signal.texts for signal in machine.signals if signal.texts}
    values = np.stack([chunk.values[name] for name in signals], axis=1)  # [assets, signals, times]
    right = np.zeros((len(assets), len(chunk.time_s)))
    ahead = np.stack([chunk.ahead_s.get(name, right) for name in signals], axis=1)
    for first in range(int(chunk.time_s[0]), int(chunk.time_s[-1]) + 1, block_s):
        columns = np.flatnonzero((chunk.time_s >= first) & (chunk.time_s < first + block_s))
        part = values[:, :, columns].transpose(2, 0, 1)
        sent = np.isfinite(part)
        when, asset, signal = np.nonzero(sent)
        value, received_ns = part[sent], chunk.time_s[columns][when] * NS
        time_ns = received_ns + np.round(ahead[asset, signal, columns[when]] * NS).astype(np.int64)
        text = {}
        for position, words in texts.items():
            rows = np.flatnonzero(signal == position)
            text |= {int(row): words[int(value[row])] for row in rows.tolist()}
        value[list(text)] = np.nan
        bursts = [
            (burst.time_s * NS, place[assets[position], machine.waveform], samples)
            for burst in chunk.bursts
            if first <= burst.time_s < first + block_s
            for position, samples in zip(burst.asset.tolist(), burst.samples, strict=True)
        ]
        of = series[asset, signal]
        count = len(of)
        of = np.append(of, [one for _, one, _ in bursts]).astype(np.int32)
        burst_ns = [at for at, _, _ in bursts]
        time_ns = np.append(time_ns, burst_ns).astype(np.int64)
        received_ns = np.append(received_ns, burst_ns).astype(np.int64)
        value = np.append(value, np.full(len(bursts), np.nan))
        waves = {count + row: samples for row, (_, _, samples) in enumerate(bursts)}
        yield raw_batch(of, time_ns, value, received_ns, text=text, bursts=waves)


def run(fleet: Fleet, kind: str) -> Found:
    """All steps over all the time of one class."""
    began, found = time.perf_counter(), Found()
    collector, line = configs(fleet, kind)
    whole = WholeLine(collector, line, START_S * NS)
    for chunk in chunks(fleet, kind):
        for raw in batches(chunk, collector, kind, fleet.members[kind]):
            for event in whole.take(raw):
                if event.type.endswith("opened.v1"):
                    opened = np.datetime64(event.data.opened.removesuffix("Z"), "ns").astype(np.int64) / NS
                    found.opened.append((event.data.asset, event.data.failure_model, float(opened)))
        print(".", end="", flush=True, file=sys.stderr)
    found.samples, found.rows, found.scores = whole.samples, whole.rows[0], whole.rows[1]
    found.seconds = time.perf_counter() - began
    return found


def judge(fleet: Fleet, found: dict[str, Found]) -> dict[str, object]:
    """Detection by failure mode, and false alerts on machines with nothing wrong."""
    opened = [alert for one in found.values() for alert in one.opened]
    faults = {fault.asset: fault for fault in fleet.faults}
    troubled = {fault.asset: fault for fault in fleet.sensor_faults}
    modes: dict[str, dict[str, list[float]]] = {}
    missed = []
    for fault in fleet.faults:
        mine = [(model, at) for asset, model, at in opened if asset == fault.asset and fault.onset_s <= at]
        right = [at for model, at in mine if model.endswith(fault.kind) and at <= fault.failure_s]
        other = [at for model, at in mine if not model.endswith(fault.kind) and at <= fault.failure_s]
        mode = modes.setdefault(fault.kind, {"faults": [], "lead_h": [], "share": [], "other": [], "also": []})
        mode["faults"].append(1)
        if right:
            lead = fault.failure_s - min(right)
            mode["lead_h"].append(lead / 3600)
            mode["share"].append(lead / fault.growth_s)
            mode["also"] += [1] if other else []
        else:
            missed.append(f"{fault.asset} {fault.kind}")
            mode["other"] += [1] if other else []
    false, by_sensor = [], []
    for asset, model, at in opened:
        if asset in faults and at >= faults[asset].onset_s:
            continue
        trouble = troubled.get(asset)
        during = trouble is not None and trouble.start_s <= at <= trouble.end_s + DAY_S
        (by_sensor if during else false).append((asset, model, at))
    machines = sum(len(assets) for assets in fleet.members.values())
    days = machines * (fleet.end_s - fleet.start_s) / DAY_S
    days -= sum((fleet.end_s - fault.onset_s) / DAY_S for fault in fleet.faults)
    return {
        "seed": fleet.seed,
        "machines": machines,
        "days": (fleet.end_s - fleet.start_s) / DAY_S,
        "modes": {
            kind: {
                "faults": len(mode["faults"]),
                "detected": len(mode["lead_h"]),
                "otherNamed": len(mode["other"]),
                "alsoNamed": len(mode["also"]),
                "leadHoursMedian": round(float(np.median(mode["lead_h"])), 1) if mode["lead_h"] else None,
                "leadShareMedian": round(float(np.median(mode["share"])), 2) if mode["share"] else None,
            }
            for kind, mode in sorted(modes.items())
        },
        "falseAlerts": len(false),
        "falsePerThousandMachineDays": round(1000 * len(false) / days, 2),
        "falseList": [f"{asset} {model} day {(at - fleet.start_s) / DAY_S:.2f}" for asset, model, at in false][:40],
        "missedList": missed,
        "alertsBySensorFaults": len(by_sensor),
        "sensorFaults": len(fleet.sensor_faults),
        "samples": sum(one.samples for one in found.values()),
        "featureRows": sum(one.rows for one in found.values()),
        "scores": sum(one.scores for one in found.values()),
    }


def table(result: dict) -> str:
    """The result for people."""
    lines = [
        f"{'failure mode':24}{'faults':>7}{'found':>7}{'other':>7}{'missed':>8}{'lead':>9}{'of growth':>11}",
    ]
    for kind, mode in result["modes"].items():
        missed = mode["faults"] - mode["detected"] - mode["otherNamed"]
        lead = f"{mode['leadHoursMedian']} h" if mode["detected"] else "-"
        share = f"{mode['leadShareMedian']:.0%}" if mode["detected"] else "-"
        lines.append(
            f"{kind:24}{mode['faults']:7}{mode['detected']:7}{mode['otherNamed']:7}{missed:8}{lead:>9}{share:>11}"
        )
    lines.append(
        f"\n{result['machines']} machines, {result['days']:g} days: {result['falseAlerts']} false alerts, "
        f"{result['falsePerThousandMachineDays']} per 1,000 machine-days without a fault; "
        f"{result['alertsBySensorFaults']} alerts by {result['sensorFaults']} faulty sensors"
    )
    lines.append(
        f"{result['samples'] / 1e6:.0f} million samples, {result['featureRows'] / 1e6:.1f} million feature rows, "
        f"{result['scores'] / 1e6:.1f} million scores in {result['seconds']:.0f} s: "
        f"{result['speed']:,.0f} times as fast as the plant"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--machines", type=int, default=300)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--kind", choices=sorted(MACHINES), help="only machines of this class")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    given = parser.parse_args(arguments)
    kinds = [given.kind] if given.kind else list(MACHINES)
    fleet = random_fleet(given.seed, dict.fromkeys(kinds, given.machines // len(kinds)), START_S, given.days)
    began = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(kinds, pool.map(run, [fleet] * len(kinds), kinds), strict=True))
    print(file=sys.stderr)
    result = judge(fleet, found)
    result["seconds"] = round(time.perf_counter() - began, 1)
    result["speed"] = given.days * DAY_S / result["seconds"]
    print(json.dumps(result) if given.output == "json" else table(result))
    if given.output == "text":
        print("missed: " + "; ".join(result["missedList"]), file=sys.stderr)
        print("false: " + "; ".join(result["falseList"]), file=sys.stderr)


if __name__ == "__main__":
    main()
