"""What the screens show and where a person is in them: data, and what a key makes of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from wheeltapper_api.wire import SEVERITIES, Alert
from wheeltapper_cli.screen.past import LinePast
from wheeltapper_cli.view import TwinRow

TwinKey = tuple[str, str, str]
"""Tenant, plant and name."""

_HEALTH: Final = ("act", "warn", "watch", "unknown", "good")
"""From the worst; silence is worse than a good score."""
_FILTER_LONGEST: Final = 40


@dataclass(frozen=True, slots=True)
class Twin:
    """A twin with all the screens know of it."""

    row: TwinRow
    past: LinePast | None = None
    alerts: tuple[Alert, ...] = ()
    """Its open alerts, the worst first."""

    @property
    def key(self) -> TwinKey:
        """Identity."""
        return (self.row.tenant, self.row.plant, self.row.twin)

    @property
    def plant(self) -> str:
        """Title of the plant."""
        return self.past.config.plant_title if self.past else self.row.plant

    @property
    def class_title(self) -> str:
        """Title of the class, empty while it is not known."""
        return self.past.config.class_title if self.past else ""

    @property
    def failure_mode(self) -> str:
        """Title of the failure mode with the highest score."""
        name = self.row.failure_model
        return self.past.titles.get(name, name) if self.past else name

    @property
    def words(self) -> str:
        """Everything that a filter looks at."""
        line = self.past.config.line.asset_class if self.past else ""
        modes = [alert.failure_mode for alert in self.alerts]
        row = self.row
        told = (row.title, row.twin, row.tenant, row.plant, self.plant, line, self.class_title, row.mode or "")
        return " ".join((*told, row.health, row.failure_model, self.failure_mode, *modes)).lower()


@dataclass(frozen=True, slots=True)
class Fleet:
    """An installation at a moment."""

    twins: tuple[Twin, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """Open alerts, the worst first."""
    ended: Mapping[str, Alert] = field(default_factory=dict)
    """Alerts that cleared of late, by id: one that is being read does not vanish."""
    problems: tuple[str, ...] = ()
    now_ns: int = 0
    span_ns: int = 0
    """Time that a sparkline shows."""

    def twin(self, key: TwinKey | None) -> Twin | None:
        """Twin of a key."""
        return next((twin for twin in self.twins if twin.key == key), None)

    def alert(self, alert_id: str | None) -> Alert | None:
        """Alert of an id, open or cleared of late."""
        found = next((alert for alert in self.alerts if alert.alert_id == alert_id), None)
        return found or self.ended.get(alert_id or "")

    def twin_of(self, alert: Alert) -> Twin | None:
        """Twin of an alert."""
        return next((t for t in self.twins if (t.row.plant, t.row.twin) == (alert.plant, alert.asset)), None)


class Screen(StrEnum):
    """The screens."""

    FLEET = "fleet"
    TWIN = "twin"
    ALERT = "alert"
    HELP = "help"


class Sort(StrEnum):
    """Orders of the fleet; each but the name puts first what needs a look."""

    HEALTH = "health"
    SCORE = "score"
    NAME = "name"
    FRESHNESS = "freshness"


@dataclass(frozen=True, slots=True)
class State:
    """Where a person is."""

    screen: Screen = Screen.FLEET
    before: tuple[Screen, ...] = ()
    """Screens that Esc goes back to, the last one first to come."""
    twin: TwinKey | None = None
    alert: str | None = None
    sort: Sort = Sort.HEALTH
    filter: str = ""
    typing: bool = False
    """Keys go into the filter."""
    scroll: int = 0
    may_leave: bool = False
    """Leaving ends only the looking; otherwise it would end what is looked at, and that takes Ctrl-C."""
    left: bool = False
    """Asked to leave the first screen."""


@dataclass(frozen=True, slots=True)
class Room:
    """What fits: rows of a page, and how far the present screen can be scrolled."""

    page: int = 18
    scroll_limit: int = 0


def worst_first(alerts: list[Alert]) -> tuple[Alert, ...]:
    """Alerts by severity, and the oldest first of one severity."""
    return tuple(sorted(alerts, key=lambda alert: (-SEVERITIES.index(alert.severity), alert.opened)))


def groups(fleet: Fleet, state: State) -> list[tuple[str, list[Twin]]]:
    """Twins that pass the filter, by plant and class; order holds within groups, and among them by their first."""
    words = state.filter.lower().split()
    shown = sorted((t for t in fleet.twins if all(word in t.words for word in words)), key=_ORDER[state.sort])
    found: dict[str, list[Twin]] = {}
    several = len({twin.row.tenant for twin in fleet.twins}) > 1
    for twin in shown:
        parts = (twin.row.tenant if several else "", twin.plant, twin.class_title)
        found.setdefault(" · ".join(part for part in parts if part), []).append(twin)
    return sorted(found.items(), key=lambda group: group[0]) if state.sort is Sort.NAME else list(found.items())


def selected(fleet: Fleet, state: State) -> Twin | None:
    """The twin of the cursor; the first shown one if that is not shown."""
    shown = [twin for _, members in groups(fleet, state) for twin in members]
    return next((twin for twin in shown if twin.key == state.twin), shown[0] if shown else None)


def press(state: State, key: str, fleet: Fleet, room: Room) -> State:
    """State after a key: a printable character, or a name as :mod:`wheeltapper_cli.screen.keys` gives it."""
    if state.typing:
        return _type(state, key)
    if key == "?" and state.screen is not Screen.HELP:
        return _open(state, Screen.HELP)
    if key in ("esc", "q", "left") and not (key == "left" and state.screen is Screen.ALERT):
        return _back(state, key)
    return {Screen.FLEET: _in_fleet, Screen.TWIN: _in_twin, Screen.ALERT: _in_alert, Screen.HELP: _scroll}[
        state.screen
    ](state, key, fleet, room)


def _type(state: State, key: str) -> State:
    if key == "esc":
        return replace(state, typing=False, filter="")
    if key in ("enter", "up", "down"):
        return replace(state, typing=False)
    if key == "backspace":
        return replace(state, filter=state.filter[:-1], typing=bool(state.filter))
    if len(key) == 1 and key.isprintable() and len(state.filter) < _FILTER_LONGEST:
        return replace(state, filter=state.filter + key)
    return state


def _in_fleet(state: State, key: str, fleet: Fleet, room: Room) -> State:
    at = selected(fleet, state)
    if key in _MOVES:
        return _move(state, key, fleet, room)
    if key in ("enter", "right") and at is not None:
        return _open(replace(state, twin=at.key), Screen.TWIN)
    if key == "a" and fleet.alerts:
        alerts = at.alerts if at is not None and at.alerts else fleet.alerts
        return _open(replace(state, alert=alerts[0].alert_id), Screen.ALERT)
    if key == "s":
        order = list(Sort)
        return replace(state, sort=order[(order.index(state.sort) + 1) % len(order)])
    return replace(state, typing=True) if key == "/" else state


def _in_twin(state: State, key: str, fleet: Fleet, room: Room) -> State:
    twin = fleet.twin(state.twin)
    if key in ("enter", "a", "right") and twin is not None and twin.alerts:
        return _open(replace(state, alert=twin.alerts[0].alert_id), Screen.ALERT)
    if key in ("n", "p"):
        after = _move(state, "down" if key == "n" else "up", fleet, room)
        return replace(after, scroll=0)
    return _scroll(state, key, fleet, room)


def _in_alert(state: State, key: str, fleet: Fleet, room: Room) -> State:
    ids = [alert.alert_id for alert in fleet.alerts]
    if key in ("n", "right", "p", "left", "a") and ids:
        step = -1 if key in ("p", "left") else 1
        start = ids.index(state.alert) if state.alert in ids else (-1 if step > 0 else 0)
        return replace(state, alert=ids[(start + step) % len(ids)], scroll=0)
    alert = fleet.alert(state.alert)
    twin = fleet.twin_of(alert) if alert else None
    if key in ("enter", "t") and twin is not None:
        return _open(replace(state, twin=twin.key), Screen.TWIN)
    return _scroll(state, key, fleet, room)


def _move(state: State, key: str, fleet: Fleet, room: Room) -> State:
    shown = [twin.key for _, members in groups(fleet, state) for twin in members]
    if not shown:
        return state
    at = shown.index(state.twin) if state.twin in shown else 0
    target = _MOVES[key](at, max(1, room.page), len(shown) - 1)
    return replace(state, twin=shown[min(max(target, 0), len(shown) - 1)])


def _scroll(state: State, key: str, fleet: Fleet, room: Room) -> State:
    del fleet
    if key not in _MOVES:
        return state
    target = _MOVES[key](min(state.scroll, room.scroll_limit), max(1, room.page), room.scroll_limit)
    return replace(state, scroll=min(max(target, 0), room.scroll_limit))


def _open(state: State, screen: Screen) -> State:
    """Another screen; one that is already behind is gone back to, so that the way does not grow."""
    before = (*state.before, state.screen)
    if screen in before:
        before = before[: before.index(screen)]
    return replace(state, screen=screen, before=before, scroll=0)


def _back(state: State, key: str) -> State:
    if state.before:
        return replace(state, screen=state.before[-1], before=state.before[:-1], scroll=0)
    if state.filter and key == "esc":
        return replace(state, filter="")
    return replace(state, left=True) if key == "q" else state


_MOVES: Final[Mapping[str, Callable[[int, int, int], int]]] = {
    "up": lambda at, _page, _last: at - 1,
    "k": lambda at, _page, _last: at - 1,
    "down": lambda at, _page, _last: at + 1,
    "j": lambda at, _page, _last: at + 1,
    "page-up": lambda at, page, _last: at - page,
    "page-down": lambda at, page, _last: at + page,
    " ": lambda at, page, _last: at + page,
    "home": lambda _at, _page, _last: 0,
    "g": lambda _at, _page, _last: 0,
    "end": lambda _at, _page, last: last,
    "G": lambda _at, _page, last: last,
}
"""Keys that move: from a place, a page's length and the last place to a place."""


@lru_cache(maxsize=4096)
def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Name with its numbers as numbers: P-2 comes before P-10."""
    parts = re.split(r"([0-9]+)", name.lower())
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part)


def _by_health(twin: Twin) -> tuple[object, ...]:
    return (_HEALTH.index(twin.row.health), *_by_score(twin))


def _by_score(twin: Twin) -> tuple[object, ...]:
    return (-(twin.row.score if twin.row.score is not None else -1.0), _natural(twin.row.title), twin.key)


def _by_name(twin: Twin) -> tuple[object, ...]:
    return (_natural(twin.row.title), twin.key)


def _by_freshness(twin: Twin) -> tuple[object, ...]:
    silent = twin.row.fresh_s is None
    return (not silent, -(twin.row.fresh_s or 0.0), *_by_name(twin))


_ORDER: Final[Mapping[Sort, Callable[[Twin], tuple[object, ...]]]] = {
    Sort.HEALTH: _by_health,
    Sort.SCORE: _by_score,
    Sort.NAME: _by_name,
    Sort.FRESHNESS: _by_freshness,
}
