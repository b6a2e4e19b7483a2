"""Measures of bursts against closed forms and SciPy: a wrong factor would shift every limit of a vibration model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal, stats

from wheeltapper_workers.features.spectra import Measure, envelopes, measures

RATE = 16384.0
LENGTH = 8192
TIME = np.arange(LENGTH) / RATE


def tone(hertz, amplitude=1.0, phase=0.7):
    return amplitude * np.sin(2 * np.pi * hertz * TIME + phase)


def one(burst, *wanted, speed=25.0, rate=RATE):
    return measures(np.asarray(burst)[np.newaxis], rate, np.array([speed]), wanted)[0]


def band(function, low, high):
    return Measure(function, band=(low, high))


@pytest.mark.parametrize("hertz", [24.0, 24.7, 25.3, 997.13, 4000.0])
@pytest.mark.parametrize("amplitude", [1e-6, 3.0, 1e6])
def test_a_tone_has_its_amplitude_and_frequency_on_and_between_lines(hertz, amplitude):
    found = one(5.0 + tone(hertz, amplitude), Measure("peak-amplitude"), Measure("peak-frequency"))
    assert found[0] == pytest.approx(amplitude, rel=5e-3)
    assert found[1] == pytest.approx(hertz, abs=0.03)


def test_tones_are_told_apart_by_their_bands_and_orders():
    burst = tone(24.7, 3.0) + tone(49.4, 1.5) + tone(640.0, 10.0)
    found = one(
        burst,
        Measure("order-amplitude", orders=(1,), tolerance=0.02),
        Measure("order-amplitude", orders=(2,), tolerance=0.02),
        Measure("order-amplitude", orders=(1, 2), tolerance=0.02),
        Measure("order-amplitude", orders=(7,), tolerance=0.02),
        band("rms", 600, 700),
        band("peak-frequency", 40, 60),
        Measure("rms", orders=(1,)),
        speed=24.7,
    )
    assert found[:3] == pytest.approx([3.0, 1.5, np.hypot(3.0, 1.5)], rel=5e-3)
    assert found[3] < 0.01
    assert found[4:] == pytest.approx([10 / np.sqrt(2), 49.4, 3.0 / np.sqrt(2)], rel=5e-3)


def test_power_of_noise_in_a_band_is_that_of_welch():
    burst = np.random.default_rng(1).normal(2.0, 3.0, LENGTH)
    frequency, density = signal.periodogram(burst, RATE, "hann", detrend="constant", scaling="density")
    chosen = (frequency >= 1000) & (frequency <= 5000)
    expected = np.sqrt(density[chosen].sum() * frequency[1])
    assert one(burst, band("rms", 1000, 5000))[0] == pytest.approx(expected, rel=1e-9)


def test_statistics_of_the_samples_are_those_of_scipy():
    burst = np.random.default_rng(2).laplace(size=LENGTH)
    found = one(burst, *(Measure(name) for name in ("rms", "std", "kurtosis", "skewness", "crest-factor", "max")))
    rms = np.sqrt((burst**2).mean())
    expected = [rms, burst.std(), stats.kurtosis(burst, fisher=False), stats.skew(burst), abs(burst).max() / rms]
    assert found == pytest.approx([*expected, burst.max()], rel=1e-9)


def test_the_envelope_is_that_of_hilbert():
    burst = (1 + 0.5 * tone(76.0)) * tone(3000.0)
    expected = np.abs(signal.hilbert(burst))
    found = envelopes(burst[np.newaxis], RATE, (1000, 8000))[0]
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-2)


@pytest.mark.parametrize("order", [3.05, 4.95, 3.98])
def test_impacts_of_a_bearing_show_at_their_order_in_the_envelope_and_nowhere_else(order):
    speed, random = 24.7, np.random.default_rng(3)
    impacts = np.arange(0, LENGTH / RATE, 1 / (order * speed))
    ringing = sum(
        np.where(at <= TIME, np.exp(-800 * (TIME - at)) * np.sin(2 * np.pi * 3600 * (TIME - at)), 0) for at in impacts
    )
    burst = 2.0 * ringing + random.normal(0, 0.3, LENGTH) + tone(speed, 2.0)
    wanted = [
        Measure("order-amplitude", envelope=(2000, 6000), orders=(o, 2 * o), tolerance=0.02) for o in (3.05, 4.95, 3.98)
    ]
    found = one(burst, *wanted, Measure("order-amplitude", orders=(order,), tolerance=0.02), speed=speed)
    at = [3.05, 4.95, 3.98].index(order)
    assert found[at] > 5 * np.delete(found[:3], at).max()
    assert found[at] > 5 * found[3], "the plain spectrum hardly shows it"


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_spoils_its_burst_and_not_its_neighbour(spoilt):
    bursts = np.stack([tone(100.0), tone(100.0), tone(100.0)])
    bursts[1, 4000] = spoilt
    wanted = [Measure("rms"), Measure("peak-amplitude"), Measure("std", envelope=(2000, 6000))]
    found = measures(bursts, RATE, np.full(3, 25.0), wanted)
    assert np.isnan(found[1]).all()
    assert found[0].tobytes() == found[2].tobytes()
    assert np.isfinite(found[0]).all()


def test_without_a_running_speed_only_the_orders_are_unknown():
    wanted = [Measure("order-amplitude", orders=(1,)), Measure("peak-amplitude")]
    for speed in (np.nan, 0.0, -3.0, 1e9):
        found = one(tone(25.0), *wanted, speed=speed)
        assert np.isnan(found[0])
        assert found[1] == pytest.approx(1.0, rel=5e-3)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 1000, 2560, 8191])
def test_any_length_has_an_answer(length):
    burst = np.random.default_rng(length).normal(size=(2, length))
    wanted = [Measure("rms"), Measure("peak-frequency"), band("rms", 0, 8000), Measure("std", envelope=(2000, 6000))]
    found = measures(burst, RATE, np.full(2, 25.0), wanted)
    assert found.shape == (2, 4)
    assert np.isnan(found[:, 0]).all() == (length < 8)


def test_a_constant_burst_has_no_lines():
    found = one(np.full(LENGTH, 4.0), Measure("peak-amplitude"), Measure("peak-frequency"), Measure("rms"))
    assert found[0] == 0.0
    assert np.isnan(found[1])
    assert found[2] == 4.0


def test_a_band_between_two_lines_or_beyond_the_spectrum_is_no_number():
    assert np.isnan(one(tone(25.0), band("rms", 2.1, 3.9), band("rms", 9000, 10000))).all()


MANY = [
    Measure("kurtosis"),
    band("rms", 10, 1000),
    Measure("peak-amplitude"),
    Measure("peak-frequency"),
    Measure("order-amplitude", orders=(1, 2.5), tolerance=0.02),
    Measure("order-amplitude", envelope=(2000, 6000), orders=(3.05, 6.1), tolerance=0.02),
    Measure("crest-factor", envelope=(2000, 6000)),
]


@pytest.mark.parametrize("length", [2560, 8192, 4095])
def test_company_and_cut_change_no_bit(length):
    random = np.random.default_rng(length)
    bursts, speed = random.normal(size=(70, length)), random.uniform(5, 50, 70)
    whole = measures(bursts, RATE, speed, MANY)
    for count in (1, 2, 3, 4, 5, 8, 17, 33):
        for first in (0, 1, 6, 37):
            part = slice(first, first + count)
            assert measures(bursts[part], RATE, speed[part], MANY).tobytes() == whole[part].tobytes()
    order = random.permutation(70)
    assert measures(bursts[order], RATE, speed[order], MANY).tobytes() == whole[order].tobytes()
    alone = measures(bursts, RATE, speed, MANY[4:5])
    assert alone.tobytes() == np.ascontiguousarray(whole[:, 4:5]).tobytes()
