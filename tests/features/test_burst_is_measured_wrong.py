"""A burst is measured with the running speed of its own time, once, whatever the order and cut in which blocks come."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.drive import drive
from tests.support.lines import LINE, SECOND, START
from wheeltapper_api.config import (
    AssetConfig,
    FeatureConfig,
    LineConfig,
    ModeConfig,
    PipelineConfig,
    SignalConfig,
    SpectrumConfig,
)
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.contracts.waveforms import encode_bursts
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime.blocks import WAVEFORMS, batch_of, encode_names, encode_times, make_batch

RATE, LENGTH = 2048.0, 1024
ASSETS = ["p-1", "p-2"]


def config(assets=ASSETS):
    orders = SpectrumConfig(orders=[1.0], speed="speed", speed_scale=1 / 60, tolerance=0.02)
    spectra = {"unbalance": (Function.ORDER_AMPLITUDE, orders), "level": (Function.RMS, None)}
    features = [
        FeatureConfig(
            name=name, title=name, unit="m/s2", of="wave", function=function, spectrum=spectrum, window_ns=60 * SECOND
        )
        for name, (function, spectrum) in spectra.items()
    ]
    speed = FeatureConfig(
        name="speed-level", title="Speed", unit="/min", of="speed", function=Function.MEAN, window_ns=10 * SECOND
    )
    kinds = {"wave": "waveform", "speed": "gauge"}
    return LineConfig(
        line=LINE,
        plant_title="Riverside",
        class_title="Pump",
        pipeline=PipelineConfig(
            every_ns=10 * SECOND,
            lateness_ns=60 * SECOND,
            signals=[SignalConfig(name=name, title=name, unit="1", kind=kind) for name, kind in kinds.items()],
            features=[*features, speed],
            modes=[ModeConfig(name="any", title="Any", when=[])],
        ),
        assets=[
            AssetConfig(
                name=name,
                title=name,
                criticality="B",
                mode="review",
                signals={"wave": 60 * SECOND, "speed": SECOND},
                stale_after_ns=dict.fromkeys(kinds, 600 * SECOND),
                models=[],
            )
            for name in assets
        ],
        models=[],
    )


def columns(asset, signal, seconds, quality):
    count = len(seconds)
    return {
        "asset": encode_names(ASSETS, np.array(asset)),
        "signal": encode_names([signal], np.zeros(count)),
        "source_time": encode_times(START + (np.array(seconds) * SECOND).astype(np.int64)),
        "ordinal": np.zeros(count, np.uint32),
        "quality": np.full(count, quality, np.uint16),
        "status": np.zeros(count, np.uint32),
        "received_time": encode_times(START + (np.array(seconds) * SECOND).astype(np.int64)),
    }


def speeds(per_minute, first, last, asset=0, quality=0):
    seconds = list(range(first, last))
    values = {"value": np.full(len(seconds), per_minute), "text": encode_names([], np.full(len(seconds), -1))}
    return make_batch(Stage.TELEMETRY, columns([asset] * len(seconds), "speed", seconds, quality) | values)


def waves(*bursts, asset=0, quality=0):
    """Each burst: second, frequency in Hz, amplitude."""
    time = np.arange(LENGTH) / RATE
    samples = [amplitude * np.sin(2 * np.pi * hertz * time) for _, hertz, amplitude in bursts]
    values = {"sample_rate": np.full(len(bursts), RATE), "samples": encode_bursts(samples)}
    return batch_of(WAVEFORMS, columns([asset] * len(bursts), "wave", [s for s, *_ in bursts], quality) | values)


def values(blocks, asset="p-1"):
    """Rows by window end, in seconds from the start. Samples long after the last complete every window."""
    end = [speeds(1500.0, 5000, 5001), speeds(1500.0, 5000, 5001, asset=1)]
    step = FeaturizeStep(config())
    _, outputs = drive(step, step.initial(config()), [*blocks, *end])
    return by_end(outputs, asset)


def by_end(outputs, asset="p-1"):
    rows = [row for batch in outputs for row in batch.to_pylist() if row["asset"] == asset]
    return {round(row["window_end"].timestamp() - START / SECOND): row for row in rows}


def test_the_speed_is_that_of_the_bursts_time():
    # The machine slows down; the burst was taken before, and comes after.
    got = values([speeds(1500.0, 0, 31), speeds(600.0, 31, 60), waves((30, 25.0, 3.0)), speeds(600.0, 60, 80)])
    assert got[70]["values"][0] == pytest.approx(3.0, rel=5e-3)
    assert got[70]["values"][1] == pytest.approx(3.0 / np.sqrt(2), rel=1e-2)


def test_a_window_has_the_mean_of_its_bursts():
    got = values([speeds(1500.0, 0, 50), waves((10, 25.0, 2.0), (40, 25.0, 4.0)), speeds(1500.0, 50, 120)])
    assert got[60]["values"][0] == pytest.approx(3.0, rel=5e-3)
    assert got[80]["values"][0] == pytest.approx(4.0, rel=5e-3)
    assert np.isnan(got[110]["values"][0])
    assert got[60]["coverage"][0] == 1.0


def test_a_burst_without_a_speed_has_no_order_and_keeps_its_level():
    got = values([speeds(1500.0, 0, 20, quality=Quality.OUT_OF_RANGE), waves((10, 25.0, 2.0)), speeds(0.0, 100, 200)])
    assert np.isnan(got[20]["values"][0])
    assert got[20]["values"][1] == pytest.approx(2.0 / np.sqrt(2), rel=1e-2)
    assert got[20]["quality"][0] & Quality.NOT_A_NUMBER


def test_an_old_speed_is_not_taken():
    unusable = speeds(1500.0, 20, 90, quality=Quality.OUT_OF_RANGE)
    got = values([speeds(1500.0, 0, 20), unusable, waves((85, 25.0, 2.0)), speeds(1500.0, 140, 160)])
    assert np.isnan(got[130]["values"][0])


def test_a_bad_burst_is_marked_and_left_out():
    got = values([speeds(1500.0, 0, 50), waves((10, 25.0, 2.0), quality=Quality.WRONG_TYPE), speeds(1500.0, 50, 70)])
    assert np.isnan(got[60]["values"][:2]).all()
    assert got[60]["quality"][1] == Quality.WRONG_TYPE
    assert not np.isnan(got[60]["values"][2])


def test_a_burst_delivered_again_counts_once():
    blocks = [speeds(1500.0, 0, 50), waves((10, 25.0, 2.0)), waves((10, 25.0, 2.0), (40, 25.0, 4.0))]
    assert values([*blocks, speeds(1500.0, 50, 70)])[60]["values"][0] == pytest.approx(3.0, rel=5e-3)


def test_assets_do_not_mix():
    blocks = [
        speeds(1500.0, 0, 70),
        speeds(600.0, 0, 70, asset=1),
        waves((10, 25.0, 2.0)),
        waves((10, 10.0, 5.0), asset=1),
    ]
    blocks += [speeds(1500.0, 70, 90), speeds(600.0, 70, 90, asset=1)]
    assert values(blocks, "p-1")[60]["values"][0] == pytest.approx(2.0, rel=5e-3)
    assert values(blocks, "p-2")[60]["values"][0] == pytest.approx(5.0, rel=5e-3)


def test_a_burst_ahead_of_its_delivery_makes_no_sample_late():
    blocks = [waves((50, 25.0, 2.0)), speeds(1500.0, 0, 60), waves((110, 25.0, 2.0)), speeds(1500.0, 60, 180)]
    got = values(blocks)
    assert [got[end]["coverage"][2] for end in range(10, 180, 10)] == [1.0] * 17
    assert got[60]["values"][0] == pytest.approx(2.0, rel=5e-3)


def test_lineage_names_the_block_of_the_burst():
    got = values([waves((0, 25.0, 2.0)), *(speeds(1500.0, s, s + 1) for s in range(80))])
    assert got[60]["telemetry_first"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_no_order_within_the_lateness_and_no_restart_changes_a_bit(seed):
    random = np.random.default_rng(seed)
    bursts = [(int(s), float(random.uniform(10, 40)), float(random.uniform(1, 5))) for s in range(5, 300, 23)]
    delay = random.integers(0, 50, len(bursts))
    timed = [(s, speeds(float(random.uniform(1400, 1500)), s, s + 1)) for s in range(300)]

    def order(delays):
        late = [(burst[0] + int(d) + 0.5, waves(burst)) for burst, d in zip(bursts, delays, strict=True)]
        return [block for _, block in sorted(timed + late, key=lambda pair: pair[0])]

    telling = ("values", "coverage", "quality", "mode")
    said = lambda rows: {end: [repr(row[name]) for name in telling] for end, row in rows.items()}  # noqa: E731 - short
    whole = said(values(order(np.zeros(len(bursts)))))
    assert len(whole) > 29
    assert said(values(order(delay))) == whole
    blocks = order(delay)
    step = FeaturizeStep(config())
    state, before = drive(step, step.initial(config()), blocks[:177])
    again = FeaturizeStep(config())
    _, after = drive(again, again.restore(step.snapshot(state), config()), blocks[177:], first=178)
    resumed = said(by_end(before + after))
    assert resumed == {end: whole[end] for end in resumed}
    assert len(resumed) > 20


def test_another_list_of_assets_keeps_the_bursts_that_wait():
    step = FeaturizeStep(config())
    state, _ = drive(step, step.initial(config()), [speeds(1500.0, 0, 70), waves((65, 25.0, 2.0))])
    state = step.reconfigure(state, config(["p-2", "p-1"]))
    _, outputs = drive(step, state, [speeds(1500.0, 70, 200)], first=3)
    assert by_end(outputs)[120]["values"][0] == pytest.approx(2.0, rel=5e-3)
