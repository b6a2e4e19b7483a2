"""The alerter: a step from scores to alert events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.config import AssetConfig, LineConfig, ModelConfig
from wheeltapper_api.wire import (
    Alert,
    AlertEvent,
    AlertRule,
    BlockRange,
    Contribution,
    Lineage,
    NoScore,
    Stage,
)
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.alerts.policy import NONE, PolicyState, Transitions, Window, advance, pair_policies
from wheeltapper_workers.runtime.blocks import Block, Codes, Item, codes, metadata, numbers
from wheeltapper_workers.runtime.step import Output, Snapshot
from wheeltapper_workers.runtime.tracing import trace_id

I64 = npt.NDArray[np.int64]

DELAYED_NS: Final = 5 * 60 * 10**9
"""Between the end of a window and the arrival of its newest sample: from here on an alert is called delayed."""
_EVENTS: Final = {"opened": "open", "changed": "open", "cleared": "cleared"}


@dataclass(frozen=True, slots=True)
class AlerterState:
    """Policy state of all pairs, the open alerts by pair name, and what is shown of each pair."""

    policy: PolicyState
    open: dict[str, Alert]
    modes: dict[str, str]
    """Newest operating mode of each asset."""
    learning: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Rows:
    """A score block by columns; ``pair`` is -1 for an asset or model that is not configured."""

    block: Block
    pair: I64
    end: I64
    score: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float64]
    reason: Codes
    mode: Codes
    columns: dict[str, npt.NDArray[Any]]
    lists: dict[str, tuple[I64, npt.NDArray[np.float64]]]

    @classmethod
    def read(cls, block: Block, index: dict[tuple[str, str], int]) -> Rows:
        """Rows of a block."""
        batch = block.batch
        asset, model = codes(batch, "asset"), codes(batch, "failure_model")
        lookup = np.array([[index.get((a, m), -1) for m in model.names] for a in asset.names], np.int64)
        lookup = lookup.reshape(len(asset.names), len(model.names))
        plain = ("features_sequence", "telemetry_first", "telemetry_last", "received_last", "mode_since", "band")
        return cls(
            block,
            lookup[asset.codes, model.codes] if len(batch) else np.empty(0, np.int64),
            numbers(batch, "window_end"),
            numbers(batch, "score"),
            numbers(batch, "coverage"),
            codes(batch, "reason"),
            codes(batch, "mode"),
            {name: numbers(batch, name).astype(np.int64) for name in plain},
            {name: _lists(batch.column(name)) for name in ("values", "expected", "deviation")},
        )

    def text(self, name: str, row: int) -> str:
        """Value of a dictionary column that is needed for one row only."""
        value = self.block.batch.column(name)[row].as_py()
        return value or ""

    def values(self, name: str, row: int) -> list[float]:
        """List of one row."""
        offsets, flat = self.lists[name]
        return [float(value) for value in flat[offsets[row] : offsets[row + 1]]]


class AlertStep:
    """Step of the alert role for one line."""

    version: Final = 1

    def __init__(self, config: LineConfig) -> None:
        self._bind(config)

    def _bind(self, config: LineConfig) -> None:
        self._config = config
        self._pairs, self._policies = pair_policies(config)
        self._index = {self._names(pair): position for position, pair in enumerate(self._pairs)}
        self._features = {feature.name: feature for feature in config.pipeline.features}
        self._titles = {mode.name: mode for mode in config.pipeline.modes}
        self._observed = np.array([config.assets[asset].mode == "observe" for asset, _ in self._pairs], bool)
        self._maintenance = [
            (position, _time_ns(start), _time_ns(end))
            for position, (asset, _) in enumerate(self._pairs)
            for start, end in config.assets[asset].maintenance
        ]

    def _names(self, pair: tuple[int, int]) -> tuple[str, str]:
        return self._config.assets[pair[0]].name, self._config.models[pair[1]].name

    def initial(self, config: LineConfig) -> AlerterState:
        """State before the first block."""
        self._bind(config)
        return AlerterState(PolicyState.initial(len(self._pairs)), {}, {}, {})

    def step(self, state: AlerterState, item: Item) -> tuple[AlerterState, list[Output]]:
        """Take scores in; what opens, changes or clears comes out."""
        if not isinstance(item, Block):
            return state, []
        rows = Rows.read(item, self._index)
        known = metadata(item.batch)
        learning = json.loads(known.get("learning", "{}"))
        state = AlerterState(state.policy, dict(state.open), dict(state.modes), learning)
        fresh = np.flatnonzero((rows.pair >= 0) & (rows.end > state.policy.newest[rows.pair]))
        outputs: list[Output] = []
        for window, position in self._windows(rows, fresh):
            found = advance(state.policy, self._policies, window)
            self._remember(state, rows, position)
            outputs += self._events(state, rows, window, position, found, known)
        return state, outputs

    def reconfigure(self, state: AlerterState, config: LineConfig) -> AlerterState:
        """State under a new config; pairs that remain keep theirs, open alerts of removed pairs are forgotten."""
        before = dict(self._index)
        self._bind(config)
        index = np.array([before.get(names, -1) for names in self._index], np.int64)
        kept = {_key(*names) for names in self._index}
        return AlerterState(
            state.policy.select(index),
            {key: alert for key, alert in state.open.items() if key in kept},
            state.modes,
            state.learning,
        )

    def snapshot(self, state: AlerterState) -> Snapshot:
        """State at rest."""
        document = {
            "pairs": [list(names) for names in self._index],
            "open": {key: alert.model_dump(mode="json") for key, alert in state.open.items()},
            "modes": state.modes,
            "learning": state.learning,
        }
        return Snapshot(state.policy.columns(), document)

    def restore(self, snapshot: Snapshot, config: LineConfig) -> AlerterState:
        """State from rest, made under the same config."""
        self._bind(config)
        document = snapshot.document
        if document["pairs"] != [list(names) for names in self._index]:
            raise ValueError("The checkpoint is of other assets or models")
        alerts = {key: Alert.model_validate(alert) for key, alert in document["open"].items()}
        return AlerterState(PolicyState(**snapshot.arrays), alerts, document["modes"], document["learning"])

    def summary(self, state: AlerterState) -> dict[str, Any]:
        """Per asset and model: score or why there is none, and the severity it has."""
        assets: dict[str, Any] = {}
        for position, (asset, model) in enumerate(self._index):
            if state.policy.newest[position] < 0:
                continue
            entry = assets.setdefault(asset, {"mode": state.modes.get(asset, ""), "models": {}})
            entry["models"][model] = self._shown(state, position, asset, model)
        return {"assets": assets, "openAlerts": [alert.alert_id for alert in state.open.values()]}

    def _shown(self, state: AlerterState, position: int, asset: str, model: str) -> dict[str, Any]:
        policy = state.policy
        score, level = float(policy.score[position]), int(policy.level[position])
        config = self._config.models[self._pairs[position][1]]
        reason = list(NoScore)[int(policy.reason[position])].value if policy.reason[position] >= 0 else ""
        titles = [self._features[entry.feature].title for entry in config.inputs]
        learning = state.learning.get(asset, {}).get(model, "")
        mode = self._titles[state.modes[asset]].title if state.modes.get(asset) in self._titles else ""
        return {
            "score": None if np.isnan(score) else round(score, 4),
            "severity": self._severity(position, level) if level != NONE else None,
            "why": explain.no_score(reason, mode, float(policy.coverage[position]), titles, learning),
        }

    def _windows(self, rows: Rows, fresh: I64) -> Iterator[tuple[Window, I64]]:
        """Windows of the fresh rows in order of time, each with the rows' positions."""
        for end in np.unique(rows.end[fresh]):
            position = fresh[rows.end[fresh] == end]
            pair = rows.pair[position]
            held = self._observed.copy()
            for row, start_ns, end_ns in self._maintenance:
                held[row] |= start_ns <= end < end_ns
            yield (
                Window(
                    int(end),
                    pair,
                    rows.score[position],
                    held[pair],
                    rows.columns["telemetry_first"][position],
                    rows.columns["features_sequence"][position],
                    rows.block.sequence,
                ),
                position,
            )

    def _remember(self, state: AlerterState, rows: Rows, position: I64) -> None:
        policy, pair = state.policy, rows.pair[position]
        policy.newest[pair] = rows.end[position]
        policy.score[pair] = rows.score[position]
        policy.coverage[pair] = rows.coverage[position]
        reasons = np.array([list(NoScore).index(NoScore(name)) for name in rows.reason.names] + [NONE])
        policy.reason[pair] = reasons[rows.reason.codes[position]]
        modes = [*rows.mode.names, ""]
        for p, code in zip(pair.tolist(), rows.mode.codes[position].tolist(), strict=True):
            state.modes[self._config.assets[self._pairs[p][0]].name] = modes[code]

    def _events(
        self,
        state: AlerterState,
        rows: Rows,
        window: Window,
        position: I64,
        found: Transitions,
        known: dict[str, str],
    ) -> Iterator[AlertEvent]:
        for what, where in (("opened", found.opened), ("changed", found.changed), ("cleared", found.cleared)):
            for row in position[where].tolist():
                pair = int(rows.pair[row])
                key = _key(*self._names(self._pairs[pair]))
                alert = self._alert(what, state, rows, row, pair, state.open.get(key), known)
                if what == "cleared":
                    state.open.pop(key, None)
                else:
                    state.open[key] = alert
                yield self._event(what, alert, window.end_ns)

    def _event(self, what: str, alert: Alert, end_ns: int) -> AlertEvent:
        line = self._config.line
        return AlertEvent.model_validate(
            {
                "id": f"{alert.alert_id}-{what}-{end_ns}",
                "source": f"/tenants/{line.tenant}/plants/{line.plant}/classes/{line.asset_class}",
                "type": f"dev.wheeltapper.alert.{what}.v1",
                "subject": alert.asset,
                "time": _iso(end_ns),
                "data": alert,
            }
        )

    def _alert(
        self,
        what: str,
        state: AlerterState,
        rows: Rows,
        row: int,
        pair: int,
        before: Alert | None,
        known: dict[str, str],
    ) -> Alert:
        """Alert as it is at a row; of one that is open already, what identifies it stays."""
        asset, model = (self._config.assets[self._pairs[pair][0]], self._config.models[self._pairs[pair][1]])
        if what == "cleared" and before is not None:
            now = _iso(int(rows.end[row]))
            text = f"{asset.title}: {model.failure_mode.lower()} is no longer seen. It had lasted since {before.since}."
            return before.model_copy(
                update={"state": "cleared", "cleared": now, "updated": now, "summary": text, "score": rows.score[row]}
            )
        policy, end = state.policy, int(rows.end[row])
        since_ns = _time_ns(before.since) if before else int(policy.above_since[pair, 0])
        level = int(policy.level[pair])
        sure = explain.confidence(int(policy.run[pair]), float(rows.coverage[row]))
        contributions = self._contributions(model, rows, row)
        delayed = int(rows.columns["received_last"][row]) - end > DELAYED_NS
        text = explain.summary(
            asset.title,
            model.failure_mode,
            contributions,
            learned=model.detector.fixed_limit is None,
            state=self._state_text(rows, row),
            since_ns=since_ns,
            now_ns=end,
            zone=self._config.time_zone,
            sure=sure,
            action=model.action,
            delayed=delayed,
        )
        return Alert(
            alert_id=before.alert_id
            if before
            else self._alert_id(asset, model, rows.text("model_digest", row), since_ns),
            asset=asset.name,
            asset_title=asset.title,
            plant=self._config.line.plant,
            asset_class=self._config.line.asset_class,
            criticality=asset.criticality,
            failure_model=model.name,
            failure_mode=model.failure_mode,
            severity=self._severity(pair, level),
            state="open",
            score=float(rows.score[row]),
            peak_score=float(policy.peak[pair]),
            since=_iso(since_ns),
            opened=before.opened if before else _iso(end),
            updated=_iso(end),
            confidence=sure.value,
            confidence_because=sure.because,
            delayed=delayed,
            twin_mode=asset.mode,
            operating_mode=state.modes.get(asset.name, ""),
            summary=text,
            contributions=contributions,
            action=model.action,
            lineage=self._lineage(state, rows, row, pair, model, known),
        )

    def _lineage(
        self, state: AlerterState, rows: Rows, row: int, pair: int, model: ModelConfig, known: dict[str, str]
    ) -> Lineage:
        policy, columns = state.policy, rows.columns
        own = self._config.assets[self._pairs[pair][0]].models
        override = next((entry.policy for entry in own if entry.name == model.name), None)
        chosen = override or model.policy
        level = int(policy.level[pair])
        rule = sorted(chosen.severities, key=lambda s: s.above)[level]
        first, features_first = int(policy.telemetry_first[pair]), int(policy.features_first[pair])
        return Lineage(
            signals=sorted({signal for entry in model.inputs for signal in self._signals(entry.feature)}),
            telemetry=BlockRange(stream=Stage.TELEMETRY.stream, first=first, last=int(columns["telemetry_last"][row])),
            features=BlockRange(
                stream=Stage.FEATURES.stream, first=features_first, last=int(columns["features_sequence"][row])
            ),
            scores=BlockRange(
                stream=Stage.SCORES.stream, first=int(policy.scores_first[pair]), last=rows.block.sequence
            ),
            pipeline_digest=known.get("pipeline_digest", ""),
            model_digest=rows.text("model_digest", row),
            baseline_digest=rows.text("baseline_digest", row),
            policy_digest=chosen.digest,
            failure_model=model.name,
            failure_model_version=model.version,
            generation=rows.block.generation,
            window_end=_iso(int(rows.end[row])),
            rule=AlertRule(severity=rule.name, above=rule.above, hold=rule.hold, score=float(rows.score[row])),
            trace_id=trace_id(rows.block.trace),
            software=json.loads(known.get("software", "{}")),
        )

    def _contributions(self, model: ModelConfig, rows: Rows, row: int) -> list[Contribution]:
        values, expected = rows.values("values", row), rows.values("expected", row)
        deviation = rows.values("deviation", row)
        return [
            Contribution(
                feature=entry.feature,
                title=self._features[entry.feature].title,
                unit=self._features[entry.feature].unit,
                value=values[i],
                expected=expected[i],
                deviation=deviation[i],
                signals=self._signals(entry.feature),
            )
            for i, entry in enumerate(model.inputs)
        ]

    def _signals(self, feature: str) -> list[str]:
        config = self._features[feature]
        return [name for name in (config.of, config.minus or config.over) if name]

    def _severity(self, pair: int, level: int) -> Any:
        asset, model = self._pairs[pair]
        own = next(
            (e.policy for e in self._config.assets[asset].models if e.name == self._config.models[model].name), None
        )
        severities = (own or self._config.models[model].policy).severities
        return sorted(severities, key=lambda s: s.above)[level].name

    def _state_text(self, rows: Rows, row: int) -> str:
        """Mode and load band in words."""
        mode = self._titles.get(rows.text("mode", row))
        if mode is None:
            return ""
        if mode.band_of is None:
            return mode.title.lower()
        edges = [-np.inf, *mode.edges, np.inf]
        low, high = edges[rows.columns["band"][row]], edges[rows.columns["band"][row] + 1]
        unit = explain.unit_text(mode.band_unit)
        if np.isinf(low):
            return f"{mode.title.lower()} below {high:g} {unit}"
        if np.isinf(high):
            return f"{mode.title.lower()} above {low:g} {unit}"
        return f"{mode.title.lower()} at {low:g} to {high:g} {unit}"

    def _alert_id(self, asset: AssetConfig, model: ModelConfig, digest: str, since_ns: int) -> str:
        line = self._config.line
        identity = "/".join((line.tenant, line.plant, asset.name, model.name, digest, str(since_ns)))
        return f"{asset.name}-{model.name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _lists(column: pa.ListArray) -> tuple[I64, npt.NDArray[np.float64]]:
    offsets = np.asarray(column.offsets).astype(np.int64)
    return offsets - offsets[0], np.asarray(column.flatten())


def _key(asset: str, model: str) -> str:
    return f"{asset}/{model}"


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")


def _time_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9
