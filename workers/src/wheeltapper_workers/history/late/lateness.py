"""Which stored samples came late, and which windows they touch. Pure.

The featurizer decides by its watermark: a sample is late once the row that holds it first is formed. The watermark
moves with stored data alone, so the decision can be made again from the table of raw samples, block by block, and here
it is; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import LineConfig
from wheeltapper_workers.features.layout import Layout
from wheeltapper_workers.features.modes import NEVER
from wheeltapper_workers.features.tracks import SPEED_MEMORY_NS

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides under one config. Times are nanoseconds."""

    assets: Mapping[str, int]
    """Position of each asset."""
    signals: Mapping[str, bool]
    """Signals that a feature reads, and whether their last value before a window counts in it."""
    bursts: frozenset[str]
    """Those of them that are waveforms."""
    every_ns: int
    lateness_ns: int
    silence_ns: int
    """A gap longer than this forms no rows."""
    reach_ns: int
    """How far behind a sample a window may end to which it matters, if nothing holds longer."""
    plain: bool
    """Whether anything but bursts comes."""

    @classmethod
    def of(cls, config: LineConfig) -> Rules:
        """Rules of a line's config."""
        layout = Layout(config)
        signals: dict[str, bool] = {}
        for position, track in enumerate(layout.tracks.all):
            signals[track.signal] = signals.get(track.signal, False) or bool(layout.tracks.carried[position])
        bursts = frozenset(layout.tracks.bursts)
        return cls(
            layout.asset_index,
            signals,
            bursts,
            config.pipeline.every_ns,
            config.pipeline.lateness_ns,
            layout.longest_ns + config.pipeline.every_ns,
            # A burst counts in a window, and the running speed some time before it in the burst.
            layout.longest_ns + (SPEED_MEMORY_NS if bursts else 0),
            layout.plain,
        )

    def aligned(self, time: I64) -> I64:
        """End of the row that holds a time first."""
        return np.where(time == NEVER, NEVER, time // self.every_ns * self.every_ns + self.every_ns)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Per asset, in ns: newest believable source time, and end of the next row; NEVER before the first sample."""

    newest: I64
    next_end: I64

    @classmethod
    def initial(cls, assets: int) -> Clocks:
        """Nothing has come."""
        return cls(np.full(assets, NEVER), np.full(assets, NEVER))

    def follow(self, before: Rules, after: Rules) -> Clocks:
        """Clocks under another config."""
        moved = Clocks.initial(len(after.assets))
        for asset, position in after.assets.items():
            if asset in before.assets:
                moved.newest[position] = self.newest[before.assets[asset]]
                moved.next_end[position] = self.next_end[before.assets[asset]]
        if before.every_ns == after.every_ns:
            return moved
        return replace(moved, next_end=after.aligned(np.where(moved.next_end == NEVER, NEVER, moved.next_end - 1)))


@dataclass(frozen=True, slots=True)
class Arrived:
    """Rows of one block that a feature reads and whose time can be true: position of the asset, source time (ns)."""

    asset: I64
    time: I64
    bursts: bool = False

    def first(self, assets: int) -> I64:
        """Earliest time of each asset."""
        latest = np.iinfo(np.int64).max
        first = np.full(assets, latest)
        np.minimum.at(first, self.asset, self.time)
        return np.where(first == latest, NEVER, first)


def look(clocks: Clocks, rules: Rules, arrived: Arrived) -> tuple[Clocks, Bools]:
    """Clocks after a block, and which of its rows are late."""
    newest, next_end = clocks.newest.copy(), clocks.next_end
    if not arrived.bursts or not rules.plain:
        first = arrived.first(len(newest))
        came, known = first != NEVER, newest != NEVER
        # What was sent before a silence is finished first.
        skips = came & known & (first - np.where(known, newest, first) > rules.silence_ns)
        begins = skips | (came & (next_end == NEVER))
        next_end = np.where(begins, rules.aligned(first), next_end)
        np.maximum.at(newest, arrived.asset, arrived.time)
    late = arrived.time < (next_end - rules.every_ns)[arrived.asset]
    watermark = np.where(newest == NEVER, NEVER, newest - rules.lateness_ns)
    formed = np.maximum((watermark - next_end) // rules.every_ns + 1, 0)
    next_end = np.where((next_end != NEVER) & (watermark >= next_end), next_end + formed * rules.every_ns, next_end)
    return Clocks(newest, next_end), late


@dataclass(frozen=True, slots=True)
class Touched:
    """Windows of an asset that late samples touch: those that end after ``low``, up to ``high`` (ns)."""

    asset: str
    low: int
    high: int
    first: int
    """First telemetry block with late samples that led to it."""
    last: int
    held: Mapping[str, int] = field(default_factory=dict)
    """Signals whose value holds until the next one comes, and the newest late sample of each: they may touch more."""

    def meets(self, other: Touched) -> bool:
        """Whether the two are one."""
        return self.asset == other.asset and self.low <= other.high and other.low <= self.high

    def joined(self, other: Touched) -> Touched:
        """Both as one."""
        held = {
            signal: max(one.held.get(signal, NEVER) for one in (self, other)) for signal in {*self.held, *other.held}
        }
        return Touched(
            self.asset,
            min(self.low, other.low),
            max(self.high, other.high),
            min(self.first, other.first),
            max(self.last, other.last),
            held,
        )


def touched(asset: str, block: int, rules: Rules, time: I64, signals: Iterable[str]) -> list[Touched]:
    """Windows that late samples of an asset in one block touch, apart where there are others between them."""
    order = np.argsort(time, kind="stable")
    sorted_time, names = time[order], np.array(list(signals), np.str_)[order]
    cuts = np.flatnonzero(np.diff(sorted_time) > rules.reach_ns) + 1
    found = []
    for times, of in zip(np.split(sorted_time, cuts), np.split(names, cuts), strict=True):
        held = {name: int(times[of == name].max()) for name in np.unique(of).tolist() if rules.signals[name]}
        found.append(Touched(asset, int(times[0]), int(times[-1]) + rules.reach_ns, block, block, held))
    return found


def joined(parts: Iterable[Touched]) -> list[Touched]:
    """The same windows in as few parts as there can be, by asset and time."""
    found: list[Touched] = []
    for part in sorted(parts, key=lambda one: (one.asset, one.low, one.high)):
        if found and found[-1].meets(part):
            found[-1] = found[-1].joined(part)
        else:
            found.append(part)
    return found
