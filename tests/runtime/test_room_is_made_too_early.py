"""Room is made in a full stream: never of what somebody still needs, never of more than has to be, and never not."""

from __future__ import annotations

import asyncio
import json

import pytest
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import APIError

from tests.support.lines import LINE, line_config
from tests.support.waiting import until
from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import STATUS_BUCKET, Stage
from wheeltapper_workers.runtime import jetstream, keeper
from wheeltapper_workers.runtime.keeper import Keeper
from wheeltapper_workers.runtime.room import Needed, Room, keep_from, needed, problem

SCORER = "score-riverside-pump-s0"


def room(share=0.9, holds=True, first=1, last=1000):
    return Room("FEATURES", first, last, last - first + 1, int(share * 1_000_000), 1_000_000, holds)


def document(time_ns, wants=None, **needs):
    parts = {key.replace("_", "-"): {"needs": told} for key, told in needs.items()}
    return {"timeNs": time_ns, "parts": parts | {key: {"wants": told} for key, told in (wants or {}).items()}}


@pytest.mark.parametrize(
    ("there", "need", "begin"),
    [
        (room(), Needed(1000, SCORER), 334),  # from 90 % down to 60 %
        (room(), Needed(100, SCORER), 101),
        (room(), Needed(0, SCORER), None),
        (room(), None, None),
        (room(share=0.79), Needed(1000, SCORER), None),
        (room(holds=False), Needed(1000, SCORER), None),
        (room(), Needed(1000, SCORER, wanted=50), 51),
        (room(share=0.97), Needed(1000, SCORER, wanted=50), 382),  # no writer's wish may stop the stream for good
        (room(share=0.97), Needed(20, SCORER, wanted=0), 21),
        (room(first=1001, last=2000), Needed(1100, SCORER), 1101),
    ],
)
def test_only_what_all_have_read_gives_way_and_no_more_than_needed(there, need, begin):
    assert keep_from(there, need) == begin


def test_all_readers_have_to_be_known():
    told = {"a": document(1, score_riverside_pump_s0={"FEATURES": 7, "SCORES": 3})}
    assert needed(Stage.FEATURES, [LINE], told) is None, "the historian has not told"
    told["b"] = document(1, store={"FEATURES": 5, "SCORES": 2})
    assert needed(Stage.FEATURES, [LINE], told) == Needed(5, "store")
    assert needed(Stage.FEATURES, [LINE, LINE.model_copy(update={"asset_class": "fan"})], told) is None
    assert needed(Stage.SCORES, [LINE], told) is None, "the alerter has not told"


def test_a_part_that_moved_counts_where_it_is_now():
    told = {
        "z-old": document(1, score_riverside_pump_s0={"FEATURES": 7}, store={"FEATURES": 900}),
        "a-new": document(2, score_riverside_pump_s0={"FEATURES": 800}),
    }
    assert needed(Stage.FEATURES, [LINE], told) == Needed(800, SCORER)


def test_what_is_wanted_is_told_apart_from_what_is_needed():
    told = {
        "a": document(
            1,
            store={"TELEMETRY": 90},
            featurize_riverside_pump_s0={"TELEMETRY": 80},
            featurize_elsewhere_fan_s0={"TELEMETRY": 1},
            wants={"collect-riverside-scada": {"TELEMETRY": 5}, "collect-riverside-mqtt": {"TELEMETRY": 7}},
        )
    }
    assert needed(Stage.TELEMETRY, [LINE], told) == Needed(80, "featurize-riverside-pump-s0", 5)


def test_a_few_large_messages_press_as_a_nearly_full_stream_does():
    assert not room(share=0.9).pressed
    assert Room("FEATURES", 1, 6, 6, 900_000, 1_000_000, holds=True).pressed


def test_the_reader_that_stands_still_is_named():
    assert "score-riverside-pump-s0 still needs 950 messages" in problem(room(share=0.97), Needed(50, SCORER))
    assert "its writers wait" in problem(room(share=0.97), Needed(50, SCORER))
    assert "the oldest give way unread" in problem(room(holds=False), Needed(50, SCORER))
    assert problem(room(), Needed(990, SCORER)) == ""
    assert problem(room(share=0.5), Needed(0, SCORER)) == ""
    assert problem(room(), None) == ""


async def test_a_full_stream_takes_again_once_its_readers_have_told(server, monkeypatch):
    monkeypatch.setattr(keeper, "_LOOK_SECONDS", 0.05)
    client = await jetstream.connect(server.url, server.credentials, "test")
    stream = client.jetstream()
    await stream.update_stream(
        StreamConfig(name="FEATURES", subjects=["features.>"], max_bytes=50_000, discard=DiscardPolicy.NEW)
    )

    async def fill():
        try:
            while True:
                last = (await stream.publish(LINE.subject(Stage.FEATURES, "featurize"), b"x" * 1000)).seq
        except APIError:
            return last

    async def tell(worker, parts):
        await stream.publish(f"$KV.{STATUS_BUCKET}.{worker}", json.dumps({"timeNs": 1, "parts": parts}).encode())

    last = await fill()
    config = StoreConfig(tenant=LINE.tenant, lines=[line_config()], commit_every_ns=1, commit_rows=1)
    one = Keeper(client, config)
    task = asyncio.create_task(one.run())
    await tell("store", {"store": {"needs": {"FEATURES": last}}})
    await until(lambda: "FEATURES" in one.summary()["streams"])
    assert one.summary()["streams"]["FEATURES"]["first"] == 1
    await tell("think", {SCORER: {"needs": {"FEATURES": 3}}})
    await until(lambda: one.summary()["streams"]["FEATURES"]["first"] == 4)
    assert one.summary()["streams"]["FEATURES"]["slowest"] == SCORER
    await tell("think", {SCORER: {"needs": {"FEATURES": last}}})
    await until(lambda: one.summary()["streams"]["FEATURES"]["bytes"] < 31_000)
    assert one.summary()["streams"]["FEATURES"]["bytes"] > 28_000, "what was read is kept while there is room"
    assert await fill() > last
    task.cancel()
    await asyncio.wait([task])
    await client.close()
