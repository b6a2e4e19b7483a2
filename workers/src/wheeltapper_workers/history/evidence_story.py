"""What the page of an alert's evidence tells: its events, and the rows around them, gathered for drawing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.config import InputConfig, LineConfig, ModelConfig, PolicyConfig
from wheeltapper_api.wire import UNUSABLE, Alert, AlertEvent
from wheeltapper_workers.alerts.compose import time_ns
from wheeltapper_workers.history.ledger import ledger, stored
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.replay import Replay
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.history.work import Job

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

COLUMNS: Final = 480
"""Points of a drawn line at most: a longer series is told by the lowest and highest value in each of so many parts."""


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers over time: lowest and highest of each part, which are the same where there is one number."""

    time_ns: I64
    low: F64
    high: F64


@dataclass(frozen=True, slots=True)
class InputStory:
    """An input of the model."""

    title: str
    unit: str
    value: Series
    expected: Series
    deviation: Series
    limit: float | None
    """In the input's unit, where the limit is a fixed one."""


@dataclass(frozen=True, slots=True)
class SignalStory:
    """Samples of a signal that were good."""

    title: str
    unit: str
    samples: int
    bad: int
    value: Series


@dataclass(frozen=True, slots=True)
class GapStory:
    """A stretch that a source did not deliver as it came."""

    signal: str
    since_ns: int
    until_ns: int
    cause: str
    recovered: bool


@dataclass(frozen=True, slots=True)
class Story:
    """All that is told."""

    alert: Alert
    """As the last event tells it."""
    events: list[AlertEvent]
    zone: str
    policy: PolicyConfig
    score: Series
    inputs: list[InputStory]
    signals: list[SignalStory]
    gaps: list[GapStory]
    replay: Replay
    since_ns: int
    until_ns: int | None
    """End of the alert; None while it is open."""


def read_story(store: Store, job: Job, replay: Replay) -> Story:
    """Gather the story of a job's alert from stored rows."""
    alert = job.alert
    config = job.told.config(alert.lineage.generation)
    model, policy = policy_of(config, alert)
    scores = _scores(store, job)
    time = _times(scores, "window_end")
    features = {feature.name: feature for feature in config.pipeline.features}
    return Story(
        alert=alert,
        events=_events(store, job),
        zone=config.time_zone,
        policy=policy,
        score=series(time, np.asarray(scores["score"].to_numpy(), np.float64)),
        inputs=[
            _input(model, position, entry, features[entry.feature], scores, time)
            for position, entry in enumerate(model.inputs)
        ],
        signals=[_signal(store, job, one) for one in config.pipeline.signals if one.name in alert.lineage.signals],
        gaps=_gaps(store, job, int(time.min(initial=np.iinfo(np.int64).max))),
        replay=replay,
        since_ns=time_ns(alert.since),
        until_ns=time_ns(alert.cleared) if alert.cleared else None,
    )


def policy_of(config: LineConfig, alert: Alert) -> tuple[ModelConfig, PolicyConfig]:
    """Failure model of an alert, and the policy it was judged by.

    Raises
    ------
    QueryError
        If the config has no such model or asset.
    """
    model = next((one for one in config.models if one.name == alert.failure_model), None)
    asset = next((one for one in config.assets if one.name == alert.asset), None)
    if model is None or asset is None:
        raise QueryError(f"The config of {alert.alert_id} does not have {alert.asset} and {alert.failure_model}")
    own = next((one.policy for one in asset.models if one.name == model.name), None)
    return model, own or model.policy


def series(time: I64, value: F64) -> Series:
    """Series of numbers in the order of their time, in no more parts than are drawn."""
    known = np.isfinite(value)
    time, value = time[known], value[known]
    if len(time) <= COLUMNS:
        return Series(time, value, value)
    begins = np.arange(COLUMNS) * len(time) // COLUMNS
    return Series(time[begins], np.minimum.reduceat(value, begins), np.maximum.reduceat(value, begins))


def _events(store: Store, job: Job) -> list[AlertEvent]:
    rows = _rows(store, job, "events", pc.field("alert_id") == job.alert.alert_id).sort_by("block_sequence")
    return [AlertEvent.model_validate(json.loads(text)) for text in rows["document"].to_pylist()]


def _scores(store: Store, job: Job) -> pa.Table:
    alert = job.alert
    where = (pc.field("asset") == alert.asset) & (pc.field("failure_model") == alert.failure_model)
    return _rows(store, job, "scores", where).sort_by("window_end")


def _rows(store: Store, job: Job, table: str, where: pc.Expression, columns: list[str] | None = None) -> pa.Table:
    dataset = store.dataset(job.line.tenant, table)
    if dataset is None:
        raise FileNotFoundError(f"There are no {table} of {job.alert.alert_id}")
    return dataset.to_table(columns=columns, filter=where)


def _input(
    model: ModelConfig, position: int, entry: InputConfig, feature: Any, scores: pa.Table, time: I64
) -> InputStory:
    fixed = model.detector.fixed_limit
    limits = {limit.feature: limit.limit for limit in fixed.limits} if fixed else {}
    count = len(model.inputs)
    value, expected, deviation = (
        series(time, _entry(scores[name], position, count)) for name in ("values", "expected", "deviation")
    )
    return InputStory(feature.title, feature.unit, value, expected, deviation, limits.get(entry.feature))


def _entry(column: pa.ChunkedArray, position: int, count: int) -> F64:
    """One entry of each list; NaN where another version of the model wrote a list of another length."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    flat = np.asarray(pc.list_flatten(column).to_numpy(), np.float64)
    begins = np.cumsum(lengths) - lengths
    found = np.full(len(lengths), np.nan)
    fits = lengths == count
    found[fits] = flat[begins[fits] + position]
    return found


def _signal(store: Store, job: Job, signal: Any) -> SignalStory:
    where = (pc.field("asset") == job.alert.asset) & (pc.field("signal") == signal.name)
    rows = _rows(store, job, "raw", where, ["source_time", "value", "quality"]).sort_by("source_time")
    good = (np.asarray(rows["quality"]) & UNUSABLE) == 0
    value = np.asarray(rows["value"].to_numpy(), np.float64)
    drawn = series(_times(rows, "source_time")[good], value[good])
    return SignalStory(signal.title, signal.unit or "", len(good), int((~good).sum()), drawn)


def _gaps(store: Store, job: Job, start_ns: int) -> list[GapStory]:
    """Gaps of the alert's signals since a time; of two words on the same gap the newer."""
    where = (pc.field("asset") == job.alert.asset) & pc.field("signal").isin(job.alert.lineage.signals)
    found = ledger(stored(store, job.line.tenant, where), since_ns=start_ns - 1)
    return [GapStory(gap.signal, gap.since_ns, gap.until_ns, gap.cause, gap.recovered) for gap in found]


def _times(rows: pa.Table, name: str) -> I64:
    return np.asarray(rows[name].cast(pa.int64())) * 1000
