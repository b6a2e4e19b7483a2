"""Alert documents: a row of scores and the policy's state, put together with all that an alert rests on. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from wheeltapper_api.config import FeatureConfig, InputConfig, LineConfig
from wheeltapper_api.kinds.failuremodel import Direction
from wheeltapper_api.wire import Alert, AlertEvent, AlertRule, BlockRange, Contribution, Lineage, Stage
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.alerts.explain import Evidence
from wheeltapper_workers.alerts.policy import Pair, PolicyState
from wheeltapper_workers.alerts.rows import Rows
from wheeltapper_workers.runtime.tracing import trace_id

DELAYED_NS: Final = 5 * 60 * 10**9
"""Between the end of a window and the arrival of its newest sample: from here on an alert is called delayed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A row at which something happens to a pair; ``position`` is the pair's in the state."""

    rows: Rows
    row: int
    position: int
    known: dict[str, str]
    """Metadata of the block."""

    @property
    def end_ns(self) -> int:
        """Window end."""
        return int(self.rows.end[self.row])


class Composer:
    """Makes alerts of one line."""

    def __init__(self, config: LineConfig) -> None:
        self._config = config
        self._features = {feature.name: feature for feature in config.pipeline.features}
        self._modes = {mode.name: mode for mode in config.pipeline.modes}

    def title(self, feature: str) -> str:
        """Title of a feature."""
        return self._features[feature].title

    def opened(self, pair: Pair, state: PolicyState, moment: Moment, before: Alert | None) -> Alert:
        """Alert as it is at a moment; of one that is open already, what identifies it stays."""
        rows, row, end = moment.rows, moment.row, moment.end_ns
        since_ns = time_ns(before.since) if before else int(state.since[moment.position])
        sure = explain.confidence(int(state.run[moment.position]), float(rows.coverage[row]))
        evidence = self._evidence(pair, moment, before)
        delayed = int(rows.columns["received_last"][row]) - end > DELAYED_NS
        summary = explain.opened(
            pair.asset.title,
            pair.model.failure_mode,
            evidence,
            state=self._state_text(moment),
            since_ns=since_ns,
            now_ns=end,
            earlier_ns=time_ns(before.updated) if before else None,
            zone=self._config.time_zone,
            sure=sure,
            action=pair.model.action,
            delayed=delayed,
        )
        lineage = self._lineage(pair, state, moment)
        return Alert(
            alert_id=before.alert_id if before else self._alert_id(pair, lineage.model_digest, since_ns),
            asset=pair.asset.name,
            asset_title=pair.asset.title,
            plant=self._config.line.plant,
            asset_class=self._config.line.asset_class,
            criticality=pair.asset.criticality,
            failure_model=pair.model.name,
            failure_mode=pair.model.failure_mode,
            severity=lineage.rule.severity,
            state="open",
            score=lineage.rule.score,
            peak_score=float(state.peak[moment.position]),
            since=iso(since_ns),
            opened=before.opened if before else iso(end),
            updated=iso(end),
            confidence=sure.value,
            confidence_because=sure.because,
            delayed=delayed,
            twin_mode=pair.asset.mode,
            operating_mode=rows.text("mode", row),
            summary=summary,
            contributions=[entry.contribution for entry in evidence],
            action=pair.model.action,
            lineage=lineage,
        )

    def cleared(self, pair: Pair, state: PolicyState, moment: Moment, before: Alert) -> Alert:
        """Alert that has ended. Its lineage and contributions are still those of the last time it was told."""
        now = {entry.contribution.feature: entry for entry in self._evidence(pair, moment, before)}
        led = sorted(before.contributions, key=lambda one: -abs(one.deviation))
        shown = [now[one.feature] for one in led if one.feature in now]
        words = (before.asset_title, before.failure_mode, shown)
        text = explain.cleared(*words, time_ns(before.since), moment.end_ns, self._config.time_zone)
        end = iso(moment.end_ns)
        return before.model_copy(
            update={
                "state": "cleared",
                "cleared": end,
                "updated": end,
                "summary": text,
                "score": _finite(moment.rows.score[moment.row]),
                "peak_score": float(state.peak[moment.position]),
            }
        )

    def event(self, what: str, alert: Alert, end_ns: int) -> AlertEvent:
        """Alert in its envelope."""
        line = self._config.line
        return AlertEvent.model_validate(
            {
                "id": f"{alert.alert_id}-{what}-{end_ns}",
                "source": f"/tenants/{line.tenant}/plants/{line.plant}/classes/{line.asset_class}",
                "type": f"dev.wheeltapper.alert.{what}.v1",
                "subject": alert.asset,
                "time": iso(end_ns),
                "data": alert,
            }
        )

    def _lineage(self, pair: Pair, state: PolicyState, moment: Moment) -> Lineage:
        rows, row, position = moment.rows, moment.row, moment.position
        rule = pair.severities[int(state.level[position])]

        def blocks(stage: Stage, first: Any, last: Any) -> BlockRange:
            return BlockRange(stream=stage.stream, first=int(first), last=int(last))

        return Lineage(
            signals=sorted({signal for entry in pair.model.inputs for signal in self._signals(entry.feature)}),
            telemetry=blocks(Stage.TELEMETRY, state.telemetry_first[position], rows.columns["telemetry_last"][row]),
            features=blocks(Stage.FEATURES, state.features_first[position], rows.columns["features_sequence"][row]),
            scores=blocks(Stage.SCORES, state.scores_first[position], rows.block.sequence),
            pipeline_digest=moment.known.get("pipeline_digest", ""),
            model_digest=rows.text("model_digest", row),
            baseline_digest=rows.text("baseline_digest", row),
            policy_digest=pair.policy.digest,
            failure_model=pair.model.name,
            failure_model_version=pair.model.version,
            generation=rows.block.generation,
            window_end=iso(moment.end_ns),
            rule=AlertRule(severity=rule.name, above=rule.above, hold=rule.hold, score=_finite(rows.score[row])),
            trace_id=trace_id(rows.block.trace),
            # In order, as in a checkpoint: an alert is the same text after a restart.
            software=dict(sorted(json.loads(moment.known.get("software", "{}")).items())),
        )

    def _evidence(self, pair: Pair, moment: Moment, before: Alert | None) -> list[Evidence]:
        """What each input shows. Rows that another version of the model made, with other inputs, show nothing."""
        told = (moment.rows.values(name, moment.row) for name in ("values", "expected", "deviation"))
        shown = list(zip(*told, strict=True))
        if len(shown) != len(pair.model.inputs):
            return []
        fixed = pair.model.detector.fixed_limit
        limits = {limit.feature: limit.limit for limit in fixed.limits} if fixed else {}
        earlier = {one.feature: one.value for one in before.contributions} if before else {}
        found = []
        for entry, (value, expected, deviation) in zip(pair.model.inputs, shown, strict=True):
            if not all(map(math.isfinite, (value, expected, deviation))):
                continue  # JSON has no word for it, and it carries no alert
            config = self._features[entry.feature]
            contribution = self._contribution(config, value, expected, deviation)
            limit = limits.get(entry.feature)
            towards = _towards(entry, deviation, fixed=limit is not None)
            found.append(Evidence(contribution, towards, limit, entry.resolution, earlier.get(entry.feature)))
        return found

    def _contribution(self, config: FeatureConfig, value: float, expected: float, deviation: float) -> Contribution:
        return Contribution(
            feature=config.name,
            title=config.title,
            unit=config.unit,
            value=value,
            expected=expected,
            deviation=deviation,
            signals=self._signals(config.name),
        )

    def _signals(self, feature: str) -> list[str]:
        config = self._features[feature]
        return [name for name in (config.of, config.minus or config.over) if name]

    def _state_text(self, moment: Moment) -> str:
        mode = self._modes.get(moment.rows.text("mode", moment.row))
        if mode is None:
            return ""
        band = int(moment.rows.columns["band"][moment.row])
        return explain.state_text(mode.title, mode.band_unit, mode.edges if mode.band_of else [], band)

    def _alert_id(self, pair: Pair, digest: str, since_ns: int) -> str:
        line = self._config.line
        identity = "/".join((line.tenant, line.plant, *pair.names, digest, str(since_ns)))
        return f"{pair.asset.name}-{pair.model.name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def iso(time_ns: int) -> str:
    """Time in UTC as ISO 8601, to the microsecond, which no window is finer than."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat().replace("+00:00", "Z")


def time_ns(text: str) -> int:
    """Nanoseconds since 1970 of a time in ISO 8601; without an offset it is UTC, whatever the host's zone."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _towards(entry: InputConfig, deviation: float, *, fixed: bool) -> float:
    """Deviation in the direction that counts; that of a fixed limit always has the limit's sign."""
    if fixed or entry.direction is Direction.UP:
        return max(deviation, 0.0)
    return max(-deviation, 0.0) if entry.direction is Direction.DOWN else abs(deviation)


def _finite(score: Any) -> float:
    """Score as JSON can carry it."""
    return float(score) if math.isfinite(score) else math.copysign(1e15, score)
