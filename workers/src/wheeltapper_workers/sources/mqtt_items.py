"""The series of an MQTT connection: which topics to subscribe to, and how a batch of messages becomes columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from paho.mqtt.client import topic_matches_sub

from wheeltapper_api.config import SeriesConfig
from wheeltapper_api.wire import Quality
from wheeltapper_workers.contracts.problems import SeriesProblem
from wheeltapper_workers.contracts.raw import NO_TIME, RawBatch
from wheeltapper_workers.sources.mqtt_decode import PathError, Reading, decode, parse_path

_MOST_TOPICS: Final = 20_000
"""Topics whose series are remembered; a flood of topics under a wildcard must not fill the memory."""

Targets = tuple[tuple[int, Reading], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came."""

    topic: str
    payload: bytes
    received_ns: int
    again: bool
    """The broker says that it may have been delivered before."""
    mid: int
    qos: int
    run: int
    """Number of the connection over which it came: on another one its mid is another message's."""


class Items:
    """Series by topic."""

    def __init__(self, series: Sequence[SeriesConfig], now_ns: int) -> None:
        self.want(series, now_ns)

    def want(self, series: Sequence[SeriesConfig], now_ns: int) -> None:
        """Read these series from now on."""
        self._series = tuple(series)
        self._since_ns = now_ns
        self._wrong: dict[int, str] = {}
        self._refused: dict[str, str] = {}
        self._exact: dict[str, list[tuple[int, Reading]]] = {}
        self._wild: list[tuple[str, int, Reading]] = []
        self._known: dict[str, Targets] = {}
        for position, one in enumerate(self._series):
            try:
                path = None if one.path is None else parse_path(one.path)
                reading = Reading(path, None if one.time_path is None else parse_path(one.time_path))
            except PathError as error:
                self._wrong[position] = str(error)
                continue
            if "+" in one.address or "#" in one.address:
                self._wild.append((one.address, position, reading))
            else:
                self._exact.setdefault(one.address, []).append((position, reading))

    @property
    def topics(self) -> list[str]:
        """Topics and filters to subscribe to."""
        return sorted({*self._exact, *(topic for topic, _, _ in self._wild)})

    def refused(self, topic: str, why: str) -> None:
        """Remember that the broker does not let a topic be read; an empty reason forgets it."""
        if why:
            self._refused[topic] = why
        else:
            self._refused.pop(topic, None)

    def problems(self) -> list[SeriesProblem]:
        """Series that cannot be read."""
        found = []
        for position, one in enumerate(self._series):
            why = self._wrong.get(position) or self._refused.get(one.address)
            if why:
                message = f"{one.asset}/{one.signal}: {why}"
                found.append(SeriesProblem(one.asset, one.signal, "address", message, self._since_ns))
        return found

    def batch(self, messages: Sequence[Message]) -> RawBatch:
        """Columns of messages, each once for every series that reads its topic."""
        pairs = [(row, target) for row, message in enumerate(messages) for target in self._of(message.topic)]
        count = len(pairs)
        rows = np.fromiter((row for row, _ in pairs), np.int64, count)
        value, time_ns = np.full(count, np.nan), np.full(count, NO_TIME)
        quality = np.zeros(count, np.uint16)
        text: dict[int, str] = {}
        bursts: dict[int, Any] = {}
        groups: dict[Reading, list[int]] = {}
        for at, (_, (_, reading)) in enumerate(pairs):
            groups.setdefault(reading, []).append(at)
        for reading, places in groups.items():
            found = decode([messages[pairs[at][0]].payload for at in places], reading)
            of = np.array(places)
            value[of], time_ns[of] = found.value, found.time_ns
            text |= {places[row]: said for row, said in found.text.items()}
            bursts |= {places[row]: burst for row, burst in found.bursts.items()}
            quality[of[list(found.wrong)]] |= np.uint16(Quality.WRONG_TYPE)
        received = np.fromiter((message.received_ns for message in messages), np.int64, len(messages))[rows]
        again = np.fromiter((message.again for message in messages), np.bool_, len(messages))[rows]
        return RawBatch(
            series=np.fromiter((position for _, (position, _) in pairs), np.int32, count),
            source_time_ns=time_ns,
            value=value,
            quality=quality,
            status=np.zeros(count, np.uint32),
            received_ns=received,
            resent=again,
            lost_before=np.zeros(count, np.bool_),
            text=text,
            bursts=bursts,
        )

    def _of(self, topic: str) -> Targets:
        known = self._known.get(topic)
        if known is None:
            found = list(self._exact.get(topic, []))
            found += [(position, reading) for wild, position, reading in self._wild if topic_matches_sub(wild, topic)]
            known = tuple(found)
            if len(self._known) < _MOST_TOPICS:
                self._known[topic] = known
        return known
