"""Payloads of all sorts: what is a number is one, what is not is told, and the neighbours are not touched."""

from __future__ import annotations

import math

import pytest

from tests.mqtt.conftest import config, series
from wheeltapper_api.wire import Quality
from wheeltapper_workers.contracts.raw import NO_TIME
from wheeltapper_workers.sources.mqtt_decode import PathError, Reading, decode, parse_path, time_of

V = Reading(("v",))


def one(payload, reading=V):
    """Alone, and among neighbours that are as they should be: the same."""
    good = b'{"v": 7}' if reading.path else b"7"
    alone, among = decode([payload], reading), decode([good, payload, good], reading)
    assert among.value[[0, 2]].tolist() == [7, 7]
    assert (alone.text.get(0), 0 in alone.wrong) == (among.text.get(1), 1 in among.wrong)
    assert math.isnan(alone.value[0]) == math.isnan(among.value[1])
    return float(alone.value[0]), alone.text.get(0), 0 in alone.wrong


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"1.5", 1.5), (b" -2e3 ", -2000), (b"true", 1), (b"false", 0), (b".5", 0.5), (b"1e999", math.inf)],
)
def test_plain_numbers(payload, value):
    assert one(payload, Reading(None)) == (value, None, False)


@pytest.mark.parametrize("payload", [b"running", b"1_000", b"0x10", b"12,5", b"1.2.3"])
def test_plain_words_are_text(payload):
    value, text, wrong = one(payload, Reading(None))
    assert math.isnan(value)
    assert (text, wrong) == (payload.decode(), False)


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe\x00", b"\x80" * 10])
def test_plain_bytes_that_say_nothing_are_wrong(payload):
    assert one(payload, Reading(None))[2]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"v": 1.5}', 1.5),
        (b'{"v": -3, "w": [1, {"x": 2}]}', -3),
        (b'{"v": true}', 1),
        (b'{\n "v": 2\n}', 2),
        (b' {"v": 4}', 4),
        (b'{"v": 1e999}', math.inf),
    ],
)
def test_numbers_in_json(payload, value):
    assert one(payload) == (value, None, False)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"w": 1}', "JSON without $.v"),
        (b'{"v": null}', "null"),
        (b'{"v": {"a": 1}}', "'{"),
        (b'{"v": 1}\n{"v": 2}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        (b"[1, 2]", "JSON without"),
        (b'{"v": [1, "a"]}', "'["),
    ],
)
def test_what_cannot_be_read_is_told(payload, said):
    value, text, wrong = one(payload)
    assert math.isnan(value)
    assert said in text
    assert wrong


def test_a_line_break_in_one_message_does_not_shift_the_next():
    found = decode([b'{"v": 1}\n{"v": 2}', b"", b'{"v": 3}'], V)
    assert math.isnan(found.value[0])
    assert found.value[2] == 3


def test_text_and_arrays_in_json():
    found = decode([b'{"v": "run"}', b'{"v": [1, 2.5, -3]}', b'{"v": 4}'], V)
    assert found.text == {0: "run"}
    assert found.bursts[1].tolist() == [1, 2.5, -3]
    assert found.value[2] == 4
    assert not found.wrong


def test_paths_reach_into_objects_and_lists():
    payload = b'{"axes": [{"rms": 1.5}, {"rms": 2.5}], "m": {"t-1": 3}}'
    for path, value in (("$.axes[1].rms", 2.5), ("$.m.t-1", 3.0), ("m.t-1", None)):
        if value is None:
            with pytest.raises(PathError, match="write one such as"):
                parse_path(path)
        else:
            assert decode([payload], Reading(parse_path(path))).value.tolist() == [value]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600 * 10**9),
        ("2026-01-01T01:00:00.123456789+01:00", 1_767_225_600 * 10**9 + 123_456_789),
        (1_767_225_600, 1_767_225_600 * 10**9),
        (1_767_225_600.5, 1_767_225_600 * 10**9 + 5 * 10**8),
        (1_767_225_600_123, 1_767_225_600_123 * 10**6),
        (1_767_225_600_123_456, 1_767_225_600_123_456 * 10**3),
        (1_767_225_600_123_456_789, 1_767_225_600_123_456_789),
        ("yesterday", None),
        ("2026-01-01T00:00:00", None),
        (-5, None),
        (True, None),
        (None, None),
        (float("inf"), None),
        (10**40, None),
    ],
)
def test_times(moment, expected):
    assert time_of(moment) == expected


def test_times_in_payloads_together_and_alone():
    reading = Reading(("v",), ("t",))
    texts = [b'{"v": 1, "t": "2026-01-01T00:00:0%d.000000001Z"}' % second for second in range(5)]
    together = decode(texts, reading)
    assert together.time_ns.tolist() == [(1_767_225_600 + s) * 10**9 + 1 for s in range(5)]
    mixed = decode([*texts, b'{"v": 2, "t": 1767225600}', b'{"v": 2}'], reading)
    assert mixed.time_ns[:6].tolist() == [*together.time_ns.tolist(), 1_767_225_600 * 10**9]
    assert mixed.time_ns[6] == NO_TIME
    assert mixed.wrong == {6}


async def test_through_a_real_broker(broker, read, publisher):
    real = broker()
    chosen = [
        series("hall/p101", "$.flow", time_path="$.t"),
        series("hall/p101", "$.state", signal="state", kind="state", states={"running": 2}),
        series("hall/+/level", signal="level"),
        series("hall/wave", "$.s", signal="wave", kind="waveform", sample_rate=10.0, burst_samples=3),
    ]
    reader = read(config(real, *chosen))
    await reader.connected()
    sender = publisher(real)
    sender.send("hall/p101", b'{"flow": 1.5, "state": "running", "t": "2026-01-01T00:00:00Z"}', b"junk")
    sender.send("hall/tank/level", b"3", b"\xff")
    sender.send("hall/wave", b'{"s": [1, 2, 3]}')
    await reader.until(lambda: len(reader.rows) == 7)
    by = {number: [row for row in reader.rows if row["series"] == number] for number in range(4)}
    assert by[0][0]["value"] == 1.5
    assert by[0][0]["time"] == 1_767_225_600 * 10**9
    assert by[1][0]["text"] == "running"
    assert [row["quality"] for row in by[0]] == [0, Quality.WRONG_TYPE]
    assert [row["quality"] for row in by[2]] == [0, Quality.WRONG_TYPE]
    assert by[3][0]["burst"] == [1, 2, 3]
