"""The alerter: a step from scores to alert events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import Alert, AlertEvent
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.alerts.compose import Composer, Moment, time_ns
from wheeltapper_workers.alerts.policy import (
    NEVER,
    NONE,
    Policies,
    PolicyState,
    Transitions,
    Window,
    advance,
    pairs_of,
)
from wheeltapper_workers.alerts.rows import REASONS, Index, Rows
from wheeltapper_workers.runtime.blocks import Block, Item, metadata
from wheeltapper_workers.runtime.step import Output, Snapshot

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AlerterState:
    """Policy state of all pairs, the open alerts by pair, and how far the learning of each asset and model is."""

    policy: PolicyState
    open: dict[str, Alert]
    learning: dict[str, dict[str, str]]


class AlertStep:
    """Step of the alert role for one line."""

    version: Final = 2

    def __init__(self, config: LineConfig) -> None:
        self._bind(config)

    def _bind(self, config: LineConfig) -> None:
        self._pairs = pairs_of(config)
        self._policies = Policies.of(self._pairs, config.pipeline.every_ns)
        self._modes = config.pipeline.modes
        self._index = Index.of([pair.names for pair in self._pairs], [mode.name for mode in self._modes])
        self._composer = Composer(config)
        self._maintenance = [
            (position, time_ns(start), time_ns(end))
            for position, pair in enumerate(self._pairs)
            for start, end in pair.asset.maintenance
        ]

    def initial(self, config: LineConfig) -> AlerterState:
        """State before the first block."""
        self._bind(config)
        return AlerterState(PolicyState.initial(len(self._pairs)), {}, {})

    def step(self, state: AlerterState, item: Item) -> tuple[AlerterState, list[Output]]:
        """Take scores in; what opens, changes or clears comes out."""
        if not isinstance(item, Block):
            return state, []
        rows = Rows.read(item, self._index)
        known = metadata(item.batch)
        state = AlerterState(state.policy, state.open, json.loads(known.get("learning", "{}")))
        outputs: list[Output] = []
        for end_ns, position in rows.windows(state.policy.newest):
            found = advance(state.policy, self._policies, self._window(rows, end_ns, position))
            _remember(state.policy, rows, position)
            outputs += self._events(state, rows, position, found, known)
        return state, outputs

    def reconfigure(self, state: AlerterState, config: LineConfig) -> AlerterState:
        """State under a new config: pairs that remain keep theirs, open alerts of removed pairs are forgotten.

        Where the policy changed, or the twin began or ceased to be only observed, holds begin anew; an open alert
        keeps its severity.
        """
        before = {pair.key: (position, pair) for position, pair in enumerate(self._pairs)}
        modes = [mode.name for mode in self._modes]
        self._bind(config)
        index = np.array([before[pair.key][0] if pair.key in before else NONE for pair in self._pairs], np.int64)
        policy = state.policy.select(index)
        # One more: mode -1, which is unknown, finds it.
        policy.mode[:] = np.array([*(self._index.modes.get(name, NONE) for name in modes), NONE])[policy.mode]
        for position, pair in enumerate(self._pairs):
            _, old = before.get(pair.key, (NONE, pair))
            if (old.policy, old.observed) != (pair.policy, pair.observed):
                alert = state.open.get(pair.key)
                policy.forget(np.array([position]))
                policy.level[position] = NONE if alert is None else pair.level(alert.severity)
        kept = {pair.key: state.open[pair.key] for pair in self._pairs if pair.key in state.open}
        return AlerterState(policy, kept, state.learning)

    def snapshot(self, state: AlerterState) -> Snapshot:
        """State at rest."""
        document = {
            "pairs": [pair.key for pair in self._pairs],
            "modes": [mode.name for mode in self._modes],
            "open": {key: alert.model_dump(mode="json") for key, alert in state.open.items()},
            "learning": state.learning,
        }
        return Snapshot({name: column.copy() for name, column in state.policy.columns().items()}, document)

    def restore(self, snapshot: Snapshot, config: LineConfig) -> AlerterState:
        """State from rest, made under the same config."""
        self._bind(config)
        document = snapshot.document
        made_for = (document["pairs"], document["modes"])
        if made_for != ([pair.key for pair in self._pairs], [mode.name for mode in self._modes]):
            raise ValueError("The checkpoint is of other assets or models")
        alerts = {key: Alert.model_validate(alert) for key, alert in document["open"].items()}
        policy = PolicyState.of_columns(snapshot.arrays, len(self._pairs))
        return AlerterState(policy, alerts, document["learning"])

    def summary(self, state: AlerterState) -> dict[str, Any]:
        """Per asset and model: score or why there is none, and the severity it has, or would have if only observed."""
        assets: dict[str, Any] = {}
        for position, pair in enumerate(self._pairs):
            if state.policy.newest[position] == NEVER:
                continue
            mode = int(state.policy.mode[position])
            entry = assets.setdefault(
                pair.asset.name, {"mode": self._modes[mode].name if mode != NONE else "", "models": {}}
            )
            entry["models"][pair.model.name] = self._shown(state, position)
        return {"assets": assets, "openAlerts": sorted(alert.alert_id for alert in state.open.values())}

    def _shown(self, state: AlerterState, position: int) -> dict[str, Any]:
        policy, pair = state.policy, self._pairs[position]
        score, level, mode = float(policy.score[position]), int(policy.level[position]), int(policy.mode[position])
        reason = REASONS[policy.reason[position]] if policy.reason[position] != NONE else ""
        inputs = [self._composer.title(entry.feature) for entry in pair.model.inputs]
        learning = state.learning.get(pair.asset.name, {}).get(pair.model.name, "")
        title = self._modes[mode].title if mode != NONE else ""
        return {
            "score": round(score, 4) if np.isfinite(score) else None,
            "severity": pair.severities[level].name if level != NONE else None,
            "why": explain.no_score(reason, title, float(policy.coverage[position]), inputs, learning),
        }

    def _window(self, rows: Rows, end_ns: int, position: I64) -> Window:
        pair = rows.pair[position]
        held = np.zeros(len(self._pairs), bool)
        for row, start_ns, until_ns in self._maintenance:
            held[row] |= start_ns <= end_ns < until_ns
        return Window(
            end_ns,
            pair,
            rows.score[position],
            rows.detector[position],
            held[pair],
            rows.columns["telemetry_first"][position],
            rows.columns["features_sequence"][position],
            rows.block.sequence,
        )

    def _events(
        self, state: AlerterState, rows: Rows, position: I64, found: Transitions, known: dict[str, str]
    ) -> Iterator[AlertEvent]:
        """Events of a window. Of a twin that is only observed nothing opens or rises; what was open before may end."""
        for what, where in (("opened", found.opened), ("changed", found.changed), ("cleared", found.cleared)):
            for row in position[where].tolist():
                moment = Moment(rows, row, int(rows.pair[row]), known)
                pair = self._pairs[moment.position]
                before = state.open.get(pair.key)
                if what == "cleared":
                    if before is not None:
                        alert = self._composer.cleared(pair, state.policy, moment, state.open.pop(pair.key))
                        yield self._composer.event(what, alert, moment.end_ns)
                elif not pair.observed:
                    alert = self._composer.opened(pair, state.policy, moment, before)
                    state.open[pair.key] = alert
                    yield self._composer.event(what, alert, moment.end_ns)


def _remember(policy: PolicyState, rows: Rows, position: I64) -> None:
    """Keep what is shown of each pair's newest window."""
    pair = rows.pair[position]
    policy.newest[pair] = rows.end[position]
    for name in ("score", "coverage", "reason", "mode"):
        getattr(policy, name)[pair] = getattr(rows, name)[position]
