"""Every way in which a sample can be wrong is flagged, counted and told; its neighbours stay good."""

from __future__ import annotations

import numpy as np
import pytest

from wheeltapper_api.wire import Line, Quality
from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.problems import problems
from wheeltapper_workers.contracts.raw import NO_TIME, raw_batch
from wheeltapper_workers.contracts.state import FLAGS, follow, initial
from wheeltapper_workers.contracts.table import series_table
from wheeltapper_workers.sources.opcua_words import status_name

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
YEAR_2000 = 946_684_800 * SECOND


class Contract:
    def __init__(self, config):
        self.table = series_table(config)
        self.state = initial(self.table, NOW)

    def take(self, *arguments, received=NOW, **columns):
        self.state, checked = check(self.state, raw_batch(*arguments, received, **columns), self.table)
        return checked

    def told(self, now=NOW, **arguments):
        return {(one.signal, one.kind): one.message for one in problems(self.state, now, self.table, **arguments)}


@pytest.fixture
def contract(collector):
    return lambda *chosen: Contract(collector(*chosen))


def seconds(*values):
    return [NOW + int(value * SECOND) for value in values]


def test_good_samples_are_converted_and_unflagged(contract, series):
    one = contract(series(scale=0.1, offset=-2.0, lowest=0, highest=10, max_rate=5))
    checked = one.take([0, 0], seconds(0, 1), [30.0, 40.0])
    assert checked.value.tolist() == [1.0, 2.0]
    assert checked.quality.tolist() == [0, 0]
    assert checked.ordinal.tolist() == [0, 0]
    assert one.told() == {}


def test_source_that_calls_its_value_bad_is_told_by_its_code(contract, series):
    one = contract(series())
    checked = one.take([0], seconds(0), [np.nan], quality=[Quality.BAD], status=[0x808C0000])
    assert checked.quality.tolist() == [Quality.BAD]
    assert checked.status.tolist() == [0x808C0000]
    message = one.told(status_name=status_name)["flow", "bad"]
    assert "p-101/flow" in message
    assert "BadSensorFailure" in message


def test_uncertain_sample_is_flagged_and_no_problem(contract, series):
    one = contract(series())
    assert one.take([0], seconds(0), [1.0], quality=[Quality.UNCERTAIN]).quality.tolist() == [Quality.UNCERTAIN]
    assert one.told() == {}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_no_number_is_flagged(contract, series, value):
    one = contract(series(scale=10.0, lowest=0, highest=1))
    assert one.take([0], seconds(0), [value]).quality.tolist() == [Quality.NOT_A_NUMBER]
    assert ("flow", "not-a-number") in one.told()


def test_text_where_a_number_belongs_is_kept_and_flagged(contract, series):
    one = contract(series())
    checked = one.take([0, 0], seconds(0, 1), [1.0, np.nan], text={1: "offline"})
    assert checked.quality.tolist() == [0, Quality.WRONG_TYPE]
    assert checked.text == {1: "offline"}
    assert "'offline'" in one.told()["flow", "wrong-type"]


def test_states_are_mapped_and_undeclared_ones_flagged(contract, series):
    one = contract(series(signal="mode", kind="state", states={"idle": 0, "run": 2}, scale=5.0))
    checked = one.take([0] * 5, seconds(0, 1, 2, 3, 4), [np.nan, 2, 1, np.nan, 0.5], text={0: "run", 3: "jog"})
    assert checked.value[:2].tolist() == [2, 2]
    wrong = Quality.WRONG_TYPE
    assert checked.quality.tolist() == [0, 0, wrong, wrong, wrong]
    assert "idle (0), run (2)" in one.told()["mode", "wrong-type"]


def test_text_of_a_context_signal_is_good(contract, series):
    one = contract(series(signal="recipe", kind="context"))
    checked = one.take([0], seconds(0), [np.nan], text={0: "blue"})
    assert checked.quality.tolist() == [0]
    assert checked.blocks(one.table)[0][1].column("text").to_pylist() == ["blue"]


def test_value_outside_its_range_is_flagged_in_the_class_unit(contract, series):
    one = contract(series(scale=1000.0, lowest=0, highest=100))
    assert one.take([0, 0], seconds(0, 1), [0.05, 0.2]).quality.tolist() == [0, Quality.OUT_OF_RANGE]
    assert "200 is outside the contract's range 0 to 100" in one.told()["flow", "out-of-range"]


def test_spike_is_flagged_and_the_return_from_it_is_not(contract, series):
    one = contract(series(max_rate=1.0))
    checked = one.take([0] * 4, seconds(0, 1, 2, 3), [0.0, 0.5, 9.0, 1.0])
    assert checked.quality.tolist() == [0, 0, Quality.STEP, 0]
    assert one.told() == {}
    assert one.take([0], seconds(4), [9.0]).quality.tolist() == [Quality.STEP]
    assert "faster than 1 per second" in one.told()["flow", "step"]


def test_new_level_is_believed_once_it_has_lasted(contract, series):
    one = contract(series(max_rate=1.0))
    checked = one.take([0] * 6, seconds(0, 1, 2, 3, 4, 5), [0.0, 3.5, 3.5, 3.5, 3.5, 3.5])
    assert checked.quality.tolist() == [0, *[Quality.STEP] * 3, 0, 0]


def test_clock_of_another_century_is_told_and_its_samples_are_kept(contract, series):
    one = contract(series(signal="speed"))
    checked = one.take([0], [YEAR_2000], [1.0])
    assert checked.quality.tolist() == [Quality.CLOCK]
    assert checked.source_time_ns.tolist() == [YEAR_2000]
    message = one.told()["speed", "clock"]
    assert "the clock of p-101/speed says 2000-01-01T00:00:00Z, 27 years behind" in message
    assert "Set the clock" in message


def test_clock_ahead_does_not_spoil_what_follows(contract, series):
    one = contract(series(max_rate=1.0))
    checked = one.take([0] * 3, [NOW, NOW + 3600 * SECOND, NOW + SECOND], [0.0, 0.1, 0.2])
    assert checked.quality.tolist() == [0, Quality.CLOCK, 0]
    assert checked.ordinal[[0, 2]].tolist() == [0, 0]


def test_missing_source_time_is_the_time_of_receipt_and_counted(contract, series):
    one = contract(series())
    checked = one.take([0, 0], [NO_TIME, NO_TIME], [1.0, 1.0])
    assert checked.source_time_ns.tolist() == [NOW, NOW]
    assert checked.ordinal.tolist() == [0, 1]
    assert one.state.untimed.tolist() == [2]


def test_silence_is_told_with_the_address_unless_the_source_knows_better(contract, series):
    one = contract(series(stale_after_ns=10 * SECOND))
    one.take([0], seconds(0), [1.0])
    assert one.told(NOW + 10 * SECOND) == {}
    assert "ns=2;s=Flow is still updated" in one.told(NOW + 11 * SECOND)["flow", "stale"]
    assert one.told(NOW + 11 * SECOND, known={("p-101", "flow")}) == {}


def test_loss_at_the_source_is_told(contract, series):
    one = contract(series())
    one.take([0], seconds(0), [1.0], lost_before=[True])
    assert "Raise queueSize" in one.told()["flow", "lost"]


def test_repeated_initial_sample_is_left_out_and_counted(contract, series):
    one = contract(series(), series(signal="speed"))
    one.take([0, 1], seconds(0, 0), [1.0, np.nan])
    again = one.take([0, 1], seconds(0, 0), [1.0, np.nan], resent=True)
    assert len(again) == 0
    assert again.blocks(one.table) == []
    assert one.state.duplicates.tolist() == [1, 1]
    assert one.state.samples.tolist() == [1, 1]


@pytest.mark.parametrize("change", [{"value": [2.0]}, {"status": [0x40000000]}, {"text": {0: "x"}}])
def test_initial_sample_that_says_something_else_is_another_sample(contract, series, change):
    one = contract(series())
    one.take([0], seconds(0), [1.0])
    value = change.pop("value", [1.0])
    checked = one.take([0], seconds(0), value, resent=True, **change)
    assert checked.ordinal.tolist() == [1]


def test_equal_samples_are_two_samples_if_nothing_was_subscribed_anew(contract, series):
    one = contract(series())
    assert one.take([0, 0], seconds(0, 0), [1.0, 1.0]).ordinal.tolist() == [0, 1]
    assert one.take([0], seconds(0), [1.0]).ordinal.tolist() == [2]


def test_sample_behind_its_series_has_an_identity_of_its_own_that_repeats(contract, series):
    one = contract(series())
    one.take([0] * 3, seconds(0, 1, 2), [1.0, 2.0, 3.0])
    late = one.take([0] * 3, seconds(1, 1, 1), [7.0, 8.0, 7.0]).ordinal
    assert late[0] == late[2]
    assert len({0, *late.tolist()}) == 3


def test_flags_are_counted_and_their_beginning_is_known(contract, series):
    one = contract(series())
    one.take([0], seconds(0), [np.nan], received=NOW)
    one.take([0], seconds(1), [np.nan], received=NOW + SECOND)
    column = FLAGS.index(Quality.NOT_A_NUMBER)
    assert one.state.counts[0, column] == 2
    assert one.state.since_ns[0, column] == NOW
    one.take([0], seconds(2), [1.0], received=NOW + 2 * SECOND)
    assert one.state.since_ns[0, column] == 0


def test_lines_get_blocks_of_their_own(contract, series):
    fan = Line(tenant="northwater", plant="riverside", asset_class="fan")
    one = contract(series(), series("f-1", "speed", line=fan))
    blocks = dict(one.take([1, 0, 1], seconds(0, 1, 2), [1.0, 2.0, 3.0]).blocks(one.table))
    assert {line.asset_class: batch.column("value").to_pylist() for line, batch in blocks.items()} == {
        "pump": [2.0],
        "fan": [1.0, 3.0],
    }
    assert blocks[fan].column("asset").to_pylist() == ["f-1", "f-1"]
    assert blocks[fan].column("asset").dictionary.to_pylist() == ["f-1"]


def wave(series, **fields):
    return series(
        "p-101", "burst", kind="waveform", **{"sample_rate": 1000.0, "burst_samples": 4, "scale": 2.0} | fields
    )


def test_bursts_get_a_block_of_their_own_in_the_class_unit(contract, series):
    one = contract(series(), wave(series))
    burst = np.array([1, -2, 3, -4], np.int16)
    checked = one.take([0, 1], seconds(0, 1), [1.0, np.nan], bursts={1: burst})
    (_, waves), (_, plain) = checked.blocks(one.table)
    assert plain.column("signal").to_pylist() == ["flow"]
    assert waves.column("samples").to_pylist() == [[2.0, -4.0, 6.0, -8.0]]
    assert waves.column("sample_rate").to_pylist() == [1000.0]
    assert waves.column("quality").to_pylist() == [0]


@pytest.mark.parametrize(
    ("burst", "flag"),
    [
        ([1, 2, 3], Quality.WRONG_TYPE),
        ([], Quality.WRONG_TYPE),
        ([1, np.nan, 3, 4], Quality.NOT_A_NUMBER),
        ([1, np.inf, 3, 4], Quality.NOT_A_NUMBER),
        ([1, 2, 3, 99], Quality.OUT_OF_RANGE),
    ],
)
def test_a_burst_that_cannot_be_is_kept_and_marked(contract, series, burst, flag):
    one = contract(wave(series, lowest=-50, highest=50))
    checked = one.take([0], seconds(0), [np.nan], bursts={0: np.array(burst, np.float64)})
    assert checked.quality.tolist() == [flag]
    assert checked.blocks(one.table)[0][1].column("samples").to_pylist()[0] == pytest.approx(
        [2.0 * value for value in burst], nan_ok=True
    )


def test_a_number_where_a_burst_belongs_and_a_burst_where_a_number_belongs(contract, series):
    one = contract(series(), wave(series))
    checked = one.take([0, 1], seconds(0, 0), [np.nan, 5.0], bursts={0: np.ones(4)})
    assert checked.quality.tolist() == [Quality.WRONG_TYPE, Quality.WRONG_TYPE]
    assert [batch.num_rows for _, batch in checked.blocks(one.table)] == [2]
    told = one.told()
    assert "array of 4" in told["flow", "wrong-type"]
    assert "burst of 4 samples" in told["burst", "wrong-type"]


def test_a_burst_delivered_again_is_left_out(contract, series):
    one = contract(wave(series))
    one.take([0], seconds(0), [np.nan], bursts={0: np.ones(4)})
    assert len(one.take([0], seconds(0), [np.nan], bursts={0: np.ones(4)}, resent=True)) == 0
    assert len(one.take([0], seconds(0), [np.nan], bursts={0: np.zeros(4)}, resent=True)) == 1


def test_state_follows_its_series_to_another_position(collector, series):
    old = series_table(collector(series(), series(signal="speed")))
    new = series_table(collector(series(signal="new"), series(signal="speed")))
    state = initial(old, NOW)
    state, _ = check(state, raw_batch([1, 1], seconds(0, 1), [np.nan, np.nan], NOW, text={1: "x"}), old)
    state = follow(state, old, new, NOW + SECOND)
    assert state.samples.tolist() == [0, 2]
    assert state.last_text == {1: "x"}
    assert state.started_ns.tolist() == [NOW + SECOND, NOW]
    _, checked = check(state, raw_batch([1], seconds(1), [np.nan], NOW, text={0: "x"}, resent=True), new)
    assert len(checked) == 0
