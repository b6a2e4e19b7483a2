"""Bytes become the same values, times and codes as the library would make of them, and bad bytes become an error."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from wheeltapper_workers.contracts.raw import NO_TIME
from wheeltapper_workers.sources.opcua_decode import MalformedError, data_changes, publication

AT = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
AT_NS = int((AT - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
NUMBERS = {
    "Boolean": True,
    "SByte": -3,
    "Byte": 3,
    "Int16": -300,
    "UInt16": 300,
    "Int32": -70_000,
    "UInt32": 4_000_000_000,
    "Int64": -(2**40),
    "UInt64": 2**40,
    "Float": 0.5,
    "Double": 0.1,
}


def encode(*values):
    items = [ua.MonitoredItemNotification(ClientHandle=at + 1, Value=value) for at, value in enumerate(values)]
    return struct_to_binary(ua.DataChangeNotification(MonitoredItems=items))


def number(kind, **parts):
    return ua.DataValue(ua.Variant(NUMBERS[kind], getattr(ua.VariantType, kind)), **parts)


def every_layout():
    """All number types, with all combinations of the other parts."""
    for kind in NUMBERS:
        for bits in range(16):
            parts = {
                "StatusCode": ua.StatusCode(0x80000000) if bits & 1 else None,
                "SourceTimestamp": AT if bits & 2 else None,
                "ServerTimestamp": AT if bits & 4 else None,
                # The library writes the two in another order than part 6, 5.2.2.17 if a server time is there too.
                "SourcePicoseconds": 500 if bits & 14 == 10 else None,
            }
            yield kind, bits, number(kind, **parts)


@pytest.mark.parametrize("repeats", [1, 2, 40])
def test_every_number_type_and_every_combination_of_parts(repeats):
    wanted = [one for one in every_layout() for _ in range(repeats)]
    got = data_changes(encode(*(value for *_, value in wanted)), 0)
    assert got.handle.tolist() == list(range(1, len(wanted) + 1))
    assert got.value.tolist() == [float(NUMBERS[kind]) for kind, *_ in wanted]
    assert got.status.tolist() == [0x80000000 if bits & 1 else 0 for _, bits, _ in wanted]
    source = [
        AT_NS + (5 if bits & 14 == 10 else 0) if bits & 2 else AT_NS if bits & 4 else NO_TIME for _, bits, _ in wanted
    ]
    assert got.time_ns.tolist() == source


def test_picoseconds_are_where_the_standard_has_them():
    ticks = AT_NS // 100 + 116_444_736_000_000_000
    item = struct.pack("<IBBdqHqH", 7, 0b111101, 11, 2.5, ticks, 9999, 1, 1)
    got = data_changes(struct.pack("<i", 3) + item * 3, 0)
    assert got.value.tolist() == [2.5] * 3
    assert got.time_ns.tolist() == [AT_NS + 99] * 3


def test_layouts_that_alternate_and_text_between_them():
    values = [number("Double", SourceTimestamp=AT), number("Int16"), ua.DataValue(ua.Variant("käse"))] * 50
    got = data_changes(encode(*values), 0)
    np.testing.assert_array_equal(got.value, [0.1, -300, np.nan] * 50)
    assert got.text == dict.fromkeys(range(2, 150, 3), "käse")


@pytest.mark.parametrize("kind", ["Double", "Float", "Int16", "UInt32", "Boolean"])
def test_an_array_of_numbers_is_a_burst_and_does_not_shift_its_neighbours(kind):
    burst = ua.DataValue(ua.Variant([1, 0, 1, 1], ua.VariantType[kind]), SourceTimestamp=AT)
    got = data_changes(encode(number("Double"), burst, number("Double")), 0)
    np.testing.assert_array_equal(got.value, [0.1, np.nan, 0.1])
    assert {row: samples.tolist() for row, samples in got.bursts.items()} == {1: [1, 0, 1, 1]}
    assert got.text == {}


def test_an_array_longer_than_its_message_is_refused():
    body = bytearray(encode(ua.DataValue(ua.Variant([1.0, 2.0, 3.0], ua.VariantType.Double))))
    at = body.index(bytes([0x80 | ua.VariantType.Double.value])) + 1
    body[at : at + 4] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(ValueError, match="longer than the message"):
        data_changes(bytes(body), 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ua.Variant(["a", "b", "c"]), "array of 3"),
        (ua.Variant(ua.LocalizedText("offen")), "offen"),
        (ua.Variant(""), ""),
        (ua.Variant(ua.StatusCode(0)), "StatusCode StatusCode"),
        (ua.Variant(None, ua.VariantType.String), None),
        (ua.Variant(None), None),
    ],
)
def test_what_is_no_number_is_text_and_does_not_shift_its_neighbours(value, text):
    odd = ua.DataValue(value, StatusCode=ua.StatusCode(0x40000000), SourceTimestamp=AT, ServerTimestamp=AT)
    got = data_changes(encode(number("Double"), odd, number("Double")), 0)
    np.testing.assert_array_equal(got.value, [0.1, np.nan, 0.1])
    assert (got.text.get(1) or "").startswith(text or "")
    assert (1 in got.text) == (text is not None)
    assert got.status[1] == 0x40000000
    assert got.time_ns[1] == AT_NS


def test_value_that_is_absent():
    got = data_changes(encode(ua.DataValue(Value=None, StatusCode=ua.StatusCode(0x80340000)), number("Double")), 0)
    np.testing.assert_array_equal(got.value, [np.nan, 0.1])
    assert got.text == {}


@pytest.mark.parametrize(
    ("year", "nanoseconds"),
    [
        (1601, NO_TIME),
        (1970, 0),
        (2000, 946_684_800 * 10**9),
        (9999, (np.iinfo(np.int64).max // 100) * 100),
    ],
)
def test_times_at_the_edges(year, nanoseconds):
    got = data_changes(encode(number("Double", SourceTimestamp=datetime(year, 1, 1, tzinfo=UTC))), 0)
    assert got.time_ns.tolist() == [nanoseconds]


def response(*notifications):
    result = ua.PublishResult(SubscriptionId=5, AvailableSequenceNumbers=[8, 9], MoreNotifications=False)
    result.NotificationMessage.SequenceNumber = 9
    result.NotificationMessage.NotificationData = list(notifications)
    return struct_to_binary(result)


def test_publication_with_several_notifications_and_a_word_on_the_subscription():
    changes = ua.DataChangeNotification(
        MonitoredItems=[ua.MonitoredItemNotification(ClientHandle=1, Value=ua.DataValue(ua.Variant("x")))]
    )
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(0x800A0000))
    got = publication(response(changes, changes, ended))
    assert (got.subscription, got.sequence, got.available, got.empty) == (5, 9, (8, 9), False)
    assert got.changes.text == {0: "x", 1: "x"}
    assert got.status == 0x800A0000


def test_keep_alive_is_empty():
    got = publication(response())
    assert got.empty
    assert len(got.changes) == 0


def test_bytes_cut_off_or_spoilt_are_an_error_and_never_a_crash(random):
    values = [number("Double", SourceTimestamp=AT), number("Int16"), ua.DataValue(ua.Variant("text"))] * 7
    items = [ua.MonitoredItemNotification(ClientHandle=1, Value=value) for value in values]
    whole = response(ua.DataChangeNotification(MonitoredItems=items))
    end = len(whole) - struct.calcsize("<ii")
    for length in range(end - 4):
        with pytest.raises(MalformedError):
            publication(whole[:length])
    for _ in range(2000):
        spoilt = bytearray(whole)
        spoilt[int(random.integers(len(whole)))] = int(random.integers(256))
        try:
            publication(bytes(spoilt))
        except MalformedError as error:
            assert "cannot be decoded" in str(error)  # noqa: PT017 - either way is fine, a crash is not
