"""What is read back is what was published, to the nanosecond and bit: else a replay proves nothing."""

from __future__ import annotations

import numpy as np

from tests.history.conftest import STORE, Stored, derived
from tests.support.lines import ASSETS, LINE, SIGNALS, START, line_config
from wheeltapper_api.wire import Stage
from wheeltapper_workers.contracts.waveforms import encode_bursts
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import query, telemetry_blocks
from wheeltapper_workers.runtime.blocks import (
    WAVEFORMS,
    batch_of,
    encode_names,
    encode_times,
    from_bytes,
    is_waveform,
    make_batch,
    numbers,
    to_bytes,
)


def odd_block(rng, count=500):
    """Equal times, times 100 ns apart and before 1970, texts, nulls, NaN payloads, highest codes."""
    times = START + rng.integers(0, 50, count) * 100
    times[:5] = [-1, -1001, 0, 999, 1_000_000_001]
    value = rng.normal(size=count)
    value[3:7] = [np.nan, np.inf, -np.inf, -0.0]
    return make_batch(
        Stage.TELEMETRY,
        {
            "asset": encode_names(ASSETS, rng.integers(0, 3, count)),
            "signal": encode_names(SIGNALS, rng.integers(0, 2, count)),
            "source_time": encode_times(times),
            "ordinal": rng.integers(0, 2**32, count).astype(np.uint32),
            "value": value,
            "text": encode_names(["open", "", "größer"], rng.integers(-1, 3, count)),
            "quality": rng.integers(0, 2**16, count).astype(np.uint16),
            "status": np.full(count, 2**32 - 1, np.uint32),
            "received_time": encode_times(START + rng.integers(0, 10**9, count)),
        },
    )


def test_odd_values_come_back_to_the_bit(tmp_path):
    rng = np.random.default_rng(5)
    batches = [odd_block(rng) for _ in range(4)]
    historian = Historian(str(tmp_path), STORE)
    for sequence, batch in enumerate(batches, 10):
        headers = {"traceparent": f"00-{sequence:032x}-{1:016x}-01", "Wheeltapper-Generation": f"g{sequence}"}
        assert Stored(Stage.TELEMETRY, sequence, 1, to_bytes(batch), headers).add_to(historian) is None
        if sequence == 11:
            historian.commit()
    historian.commit()
    found = list(telemetry_blocks(str(tmp_path), LINE, 10, 12))
    assert [(block.sequence, block.generation, block.trace[:3]) for block in found] == [
        (10, "g10", "00-"),
        (11, "g11", "00-"),
        (12, "g12", "00-"),
    ]
    for block, batch in zip(found, batches, strict=False):
        assert block.batch.schema.equals(batch.schema)
        for name in ("source_time", "received_time"):
            assert block.batch[name].equals(batch[name])
        got, sent = (np.asarray(b["value"]).view(np.uint64) for b in (block.batch, batch))
        assert np.array_equal(got, sent)
        for name in ("asset", "signal", "text"):
            assert block.batch[name].to_pylist() == batch[name].to_pylist()
        for name in ("ordinal", "quality", "status"):
            assert block.batch[name].equals(batch[name])


def test_bursts_come_back_to_the_bit_between_plain_blocks(tmp_path):
    rng = np.random.default_rng(6)
    samples = [rng.normal(size=rng.integers(0, 9)) for _ in range(20)]
    waves = batch_of(
        WAVEFORMS,
        {
            "asset": encode_names(ASSETS, rng.integers(0, 3, 20)),
            "signal": encode_names(["burst"], np.zeros(20)),
            "source_time": encode_times(START + rng.integers(0, 10**9, 20)),
            "ordinal": np.zeros(20, np.uint32),
            "sample_rate": np.full(20, 16384.0),
            "samples": encode_bursts(samples),
            "quality": rng.integers(0, 2**16, 20).astype(np.uint16),
            "status": np.zeros(20, np.uint32),
            "received_time": encode_times(START + rng.integers(0, 10**9, 20)),
        },
    )
    sent = [odd_block(rng), waves, odd_block(rng)]
    historian = Historian(str(tmp_path), STORE)
    for sequence, batch in enumerate(sent, 1):
        assert Stored(Stage.TELEMETRY, sequence, 1, to_bytes(batch), {}).add_to(historian) is None
    historian.commit()
    found = [block.batch for block in telemetry_blocks(str(tmp_path), LINE, 1, 3)]
    assert [is_waveform(batch) for batch in found] == [False, True, False]
    for name in ("source_time", "received_time", "ordinal", "quality", "sample_rate", "samples"):
        assert found[1][name].equals(waves[name]), name
    assert found[1]["asset"].to_pylist() == waves["asset"].to_pylist()
    stored = query(str(tmp_path), "SELECT count(*) AS n, count(samples) AS waves FROM raw").to_pylist()
    assert stored == [{"n": 1020, "waves": 20}]


def test_replay_from_the_tables_makes_the_same_features(plant, flow):
    step = FeaturizeStep(line_config())
    stored = [
        Stored(Stage.TELEMETRY, block.sequence, 0, to_bytes(block.batch))
        for block in telemetry_blocks(plant, LINE, 1, 10**6)
    ]
    assert len(stored) == len(flow[Stage.TELEMETRY])
    again = derived(step, stored, Stage.FEATURES, 0)
    assert [message.payload for message in again] == [message.payload for message in flow[Stage.FEATURES]]


def test_feature_columns_hold_the_published_values(plant, flow):
    wanted = {}
    for message in flow[Stage.FEATURES]:
        batch = from_bytes(message.payload, Stage.FEATURES)
        ends = numbers(batch, "window_end").tolist()
        for asset, end, values in zip(batch["asset"].to_pylist(), ends, batch["values"].to_pylist(), strict=True):
            wanted[asset, end] = [repr(value) for value in values]
    columns = ["vibration_level", "vibration_kurtosis", "speed_level"]
    stored = query(plant, "SELECT *, epoch_ns(window_end) AS t FROM features").to_pylist()
    found = {(row["asset"], row["t"]): [repr(row[name]) for name in columns] for row in stored}
    assert found == wanted
