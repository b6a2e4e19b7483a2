"""A supervisor acts on the text alone: it must be true, plain, and the same tomorrow.

The texts are kept in ``golden``; ``WHEELTAPPER_UPDATE_GOLDEN=1`` writes them anew.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from tests.alerts.scores import NAN, Alerter, Score, series, with_asset, with_policy
from tests.support.lines import MODEL, PIPELINE, SECOND, line_config
from wheeltapper_api.config import FeatureConfig, InputConfig, ModeConfig, SeverityConfig
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.kinds.failuremodel import Detector, Direction, FixedLimit, FixedLimitDetector
from wheeltapper_api.wire import Contribution, NoScore, RecommendedAction
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.alerts.explain import Evidence

GOLDEN = Path(__file__).parent / "golden"

INPUTS = {
    "vibration": ("Vibration, drive end", "mm/s", Direction.UP, 0.01),
    "rise": ("Bearing temperature above ambient, drive end", "Cel", Direction.UP, 0.1),
    "suction": ("Suction pressure", "bar", Direction.DOWN, 0.001),
    "flow": ("Flow", "m3/h", Direction.EITHER, 0.0),
}


def config(**model):
    """A pump with four inputs and a load band by flow."""
    features = [
        FeatureConfig(
            name=name, title=title, unit=unit, of=name, function=Function.MEAN, window_ns=30 * SECOND, resolution=fine
        )
        for name, (title, unit, _, fine) in INPUTS.items()
    ]
    modes = [
        ModeConfig(name="off", title="Off", when=[]),
        ModeConfig(
            name="running", title="Steady", when=[], band_of="flow", band_unit="m3/h", edges=[150.0, 175.0, 200.0]
        ),
    ]
    inputs = [InputConfig(feature=name, direction=way, resolution=fine) for name, (_, _, way, fine) in INPUTS.items()]
    action = RecommendedAction(
        recommend="Check and grease the drive-end bearing; replace it if the vibration does not fall.",
        when="next-planned-stop",
        parts=[],
    )
    made = line_config(
        ["p-1"],
        pipeline=PIPELINE.model_copy(update={"features": features, "modes": modes}),
        model=MODEL.model_copy(update={"inputs": inputs, "action": action} | model),
    )
    made = made.model_copy(update={"time_zone": "Europe/Berlin"})
    return with_asset(made, title="Pump P-103")


def fault(count=4, start=0.0, **fields):
    """Bearing wear: vibration leads, temperature follows, flow is as usual, suction pressure is a little high."""
    shown = {
        "values": (2.312, 24.04, 0.6512, 181.2),
        "expected": (1.308, 15.02, 0.6011, 180.9),
        "deviation": (2.1, 0.8, 0.9, 0.05),
        "band": 2,
    }
    return series([2.1] * count, start=start, **(shown | fields))


def only(name, action="now"):
    """Config of a model with one input."""
    _, _, way, fine = INPUTS[name]
    return config(
        inputs=[InputConfig(feature=name, direction=way, resolution=fine)],
        action=RecommendedAction(recommend="Stop the pump", when=action, parts=[]),
    )


def opened():
    return Alerter(config()).play(fault())


def changed():
    act = SeverityConfig(name="act", above=4.0, hold_ns=20 * SECOND, hold="20s")
    warn = MODEL.policy.severities[0]
    alerter = Alerter(with_policy(config(), severities=[warn, act]))
    alerter.play(fault())
    worse = {"values": (15.87, 24.04, 0.6011, 181.2), "deviation": (6.0, 0.8, 0.0, 0.05)}
    rows = [Score(40 + 10.0 * i, 6.0, **worse, expected=(1.308, 15.02, 0.6011, 180.9), band=2) for i in range(3)]
    return alerter.play(rows)


def cleared():
    alerter = Alerter(config())
    alerter.play(fault())
    calm = {"values": (1.33, 15.2, 0.6, 181.0), "expected": (1.3, 15.0, 0.6, 181.0), "deviation": (0.1,) * 4}
    return alerter.play(series([0.1] * 4, start=3640, **calm))


def delayed_with_poor_data():
    return Alerter(config()).play(fault(late=3600, coverage=0.62))


def pressure_falls():
    fields = {"values": (0.212,), "expected": (0.6011,), "deviation": (-1.7,), "band": 0}
    return Alerter(only("suction")).play(series([1.7] * 3, **fields))


def without_a_load_band():
    fields = {"values": (9.5,), "expected": (0.01,), "deviation": (40.0,), "band": -1}
    return Alerter(only("vibration", "monitor")).play(series([40.0] * 3, **fields))


def fixed_limit():
    names = {"vibration": (1.0, 7.1), "rise": (10.0, 40.0), "flow": (200.0, 50.0)}
    limits = [FixedLimit(feature=name, normal=low, limit=high) for name, (low, high) in names.items()]
    inputs = [InputConfig(feature=name, direction=INPUTS[name][2], resolution=INPUTS[name][3]) for name in names]
    made = config(
        inputs=inputs,
        failure_mode="NPSH too low",
        detector=Detector(fixed_limit=FixedLimitDetector(limits=limits)),
        action=RecommendedAction(recommend="NPSH must rise: open the valve", when="now", parts=[]),
    )
    fields = {"values": (7.8, 10.5, 101.0), "expected": (1.0, 10.0, 200.0), "deviation": (1.11, 0.02, 0.66)}
    return Alerter(made).play(series([1.11] * 3, **fields))


CASES = [opened, changed, cleared, delayed_with_poor_data, pressure_falls, without_a_load_band, fixed_limit]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_text_is_the_one_that_was_agreed(case):
    (event,) = case()
    text = event.data.summary.replace(". ", ".\n") + "\n"
    path = GOLDEN / f"{case.__name__}.txt"
    if os.environ.get("WHEELTAPPER_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_an_input_that_moves_away_from_the_failure_is_no_sign_of_it():
    (event,) = opened()
    assert "Suction pressure" not in event.data.summary
    assert [one.feature for one in event.data.contributions] == list(INPUTS)


def test_at_most_three_inputs_are_told_the_strongest_first():
    shown = [evidence("A", 0.6), evidence("B", 2.0), evidence("C", 0.7), evidence("D", 0.9), evidence("E", 0.3)]
    assert [entry.contribution.title for entry in explain.contributing(shown)] == ["B", "D", "C"]
    assert [entry.contribution.title for entry in explain.contributing([evidence("A", 0.1)])] == ["A"]
    assert explain.contributing([]) == []


def evidence(title, towards):
    one = Contribution(
        feature=title.lower(), title=title, unit="1", value=1, expected=1, deviation=towards, signals=["s"]
    )
    return Evidence(one, towards)


@pytest.mark.parametrize(
    ("value", "unit", "resolution", "text"),
    [
        (2.3123, "mm/s", 0.0, "2.31 mm/s"),
        (2.3123, "mm/s", 0.1, "2.3 mm/s"),
        (95.04, "Cel", 0.1, "95.0 °C"),
        (1482.7, "/min", 0.0, "1483 rpm"),
        (181.24, "m3/h", 1.0, "181 m³/h"),
        (0.00012, "1", 0.0, "0.0001"),
        (-0.0001, "mm/s", 0.01, "0.00 mm/s"),
        (0.0, "bar", 0.0, "0 bar"),
        (0.512, "kW/(m3/h)", 0.0, "0.512 kW per m³/h"),
        (9.81, "m/s2", 0.0, "9.81 m/s²"),
        (41.2, "%", 0.0, "41.2 %"),
    ],
)
def test_numbers_are_as_fine_as_the_sensor_and_units_as_people_write_them(value, unit, resolution, text):
    assert explain.number(value, unit, resolution) == text


@pytest.mark.parametrize(
    ("edges", "band", "text"),
    [
        ([150.0, 175.0], 0, "steady below 150 m³/h"),
        ([150.0, 175.0], 1, "steady at 150 to 175 m³/h"),
        ([150.0, 175.0], 2, "steady above 175 m³/h"),
        ([150.0, 175.0], -1, "steady"),
        ([150.0, 175.0], 3, "steady"),
        ([], 0, "steady"),
    ],
)
def test_load_that_is_not_known_is_not_made_up(edges, band, text):
    assert explain.state_text("Steady", "m3/h", edges, band) == text


def test_confidence_grows_with_windows_and_falls_with_missing_data():
    grown = [explain.confidence(windows, 1.0).value for windows in (1, 2, 5, 50)]
    assert grown == sorted(grown)
    assert explain.confidence(50, 1.0).because == "high; the last 50 measurements were above the limit, all data good"
    poor = explain.confidence(50, 0.7)
    assert poor.value < explain.confidence(5, 1.0).value
    assert poor.because == "medium; the last 50 measurements were above the limit, 70% of the data good"
    assert explain.confidence(1, math.nan).because.startswith("low; the last measurement was above")


def test_why_there_is_no_score_is_said_in_words():
    alerter = Alerter(config())
    alerter.play([Score(0, NAN, mode="off", reason=NoScore.MODE)])
    assert alerter.shown()["why"] == "not scored while off"
    alerter.play([Score(10, NAN, reason=NoScore.NO_DATA, coverage=0.12)])
    assert alerter.shown()["why"] == (
        "too little good data of vibration, drive end; bearing temperature above ambient, drive end; "
        "suction pressure; flow (12%)"
    )
    alerter.feed([Score(20, NAN, reason=NoScore.LEARNING)], {"learning": '{"p-1": {"wear": "3 h of 24 h"}}'})
    assert alerter.shown()["why"] == "learning, 3 h of 24 h"
    alerter.play([Score(30, NAN, reason=NoScore.LEARNING)])
    assert alerter.shown()["why"] == "learning this load"
    alerter.play([Score(40, 0.31)])
    assert alerter.shown() == {"score": 0.31, "severity": None, "why": ""}
