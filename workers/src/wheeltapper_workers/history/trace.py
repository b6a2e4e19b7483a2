# ruff: noqa: A005 - imported by its full name only, so it hides nothing of the standard library
"""From an alert back to the samples it rests on, and how long each step on the way took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.fields import Model
from wheeltapper_api.wire import UNUSABLE, Alert, AlertEvent, Lineage, Quality
from wheeltapper_workers.history.query import alert_history, open_store
from wheeltapper_workers.history.revisions import is_live
from wheeltapper_workers.history.tables import Store, feature_column

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Hop(Model):
    """A step on the way from the sensor to the alert. Times are UTC, ISO 8601 to the microsecond."""

    name: str
    title: str
    start: str
    end: str
    seconds: float
    """Negative if the clocks at its two ends disagree by more than it took."""
    by_design: bool = False
    """It waits for something that has to happen first, and would not be shorter on a faster machine."""


class BlockUse(Model):
    """A telemetry block and the samples of the alert's signals in it."""

    sequence: int
    rows: int
    first: str
    """Source time of the first of these samples."""
    last: str
    published: str


class SignalUse(Model):
    """A signal of the alert, over the samples in the blocks that lie before the window's end."""

    signal: str
    samples: int
    good: int
    minimum: float | None
    maximum: float | None
    last: float | None
    """Of the good samples, in the class's unit; none if there was no good one."""
    quality: dict[str, int]
    """Samples by flag."""


class FeatureUse(Model):
    """An input of the model: as the alert tells it, and as it is stored."""

    feature: str
    title: str
    unit: str
    value: float
    expected: float
    deviation: float
    stored: float | None
    coverage: float | None
    signals: list[str]


class EventUse(Model):
    """An event of the alert."""

    time: str
    type: str
    severity: str
    score: float


class Trace(Model):
    """All that one alert rests on, as the tables have it. It is told for the alert's first event, which opened it."""

    tenant: str
    alert: Alert
    """As of its latest event."""
    opened: Lineage
    """Lineage of the first event, to which hops, blocks, signals and features belong."""
    events: list[EventUse]
    hops: list[Hop]
    seconds: float | None
    """From the newest sample's source time to the stored alert."""
    seconds_by_design: float
    blocks: list[BlockUse]
    signals: list[SignalUse]
    features: list[FeatureUse]
    missing: list[str]
    """What was not found, and why that may be."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the tables hold of an alert's first event; None where a row is not found. Times are microseconds."""

    event: Mapping[str, Any]
    score: Mapping[str, Any] | None
    features: Mapping[str, Any] | None
    samples: pa.Table
    """Samples of the signals in the blocks, before the window's end."""
    trigger_us: int | None
    """When the block was stored whose arrival completed the window."""


def trace(root: str, tenant: str, alert_id: str, *, storage_options: Mapping[str, str] | None = None) -> Trace:
    """Trace of the one alert whose id is or begins with ``alert_id``.

    Raises
    ------
    QueryError
        If there is none, or more than one.
    """
    store = open_store(root, tenant, storage_options)
    history = alert_history(store, tenant, alert_id)
    first = AlertEvent.model_validate_json(history["document"][0].as_py()).data
    return explain(tenant, history, _gather(store, tenant, history, first))


def explain(tenant: str, history: pa.Table, rows: Rows) -> Trace:
    """Trace of gathered rows; ``history`` has the alert's event rows in their order."""
    documents = [AlertEvent.model_validate_json(document.as_py()) for document in history["document"]]
    first, latest = documents[0].data, documents[-1].data
    hops = _hops(rows)
    return Trace(
        tenant=tenant,
        alert=latest,
        opened=first.lineage,
        events=[
            EventUse(time=event.time, type=event.type, severity=event.data.severity, score=event.data.score)
            for event in documents
        ],
        hops=hops,
        seconds=sum(hop.seconds for hop in hops) if len(hops) == len(_TITLES) else None,
        seconds_by_design=sum(hop.seconds for hop in hops if hop.by_design),
        blocks=_blocks(rows.samples),
        signals=[_signal(name, rows.samples) for name in first.lineage.signals],
        features=_features(first, rows.features),
        missing=_missing(first, rows),
    )


def _gather(store: Store, tenant: str, history: pa.Table, first: Alert) -> Rows:
    lineage = first.lineage
    place = (pc.field("plant") == first.plant) & (pc.field("class") == first.asset_class)
    own = place & (pc.field("asset") == first.asset)
    end = pc.cast(pa.scalar(lineage.window_end), pa.timestamp("us", tz="UTC"))
    window = own & (pc.field("window_end") == end)
    score = _one(
        _read(store, tenant, "scores", window & (pc.field("failure_model") == first.failure_model)), lineage.scores.last
    )
    made_of = score["features_sequence"] if score else lineage.features.last
    features = _one(_read(store, tenant, "features", window), made_of)
    first_block, last_block = lineage.telemetry.first, lineage.telemetry.last
    if score:
        first_block, last_block = score["telemetry_first"], score["telemetry_last"]
    number = pc.field("block_sequence")
    of_alert = own & pc.field("signal").isin(lineage.signals) & (pc.field("source_time") < end)
    samples = _read(store, tenant, "raw", of_alert & (number >= first_block) & (number <= last_block))
    trigger = None
    if features and features["input_sequence"] is not None:
        trigger = _one(_read(store, tenant, "raw", place & (number == features["input_sequence"])).slice(0, 1), None)
    return Rows(
        _plain(history.slice(0, 1))[0], score, features, samples, trigger["published_time"] if trigger else None
    )


def _read(store: Store, tenant: str, table: str, where: pc.Expression) -> pa.Table:
    dataset = store.dataset(tenant, table)
    if dataset is None:
        return pa.table({name: pa.array([], pa.int64()) for name in ("block_sequence", "source_time")})
    return dataset.to_table(filter=where & is_live(dataset.schema))


def _one(rows: pa.Table, sequence: int | None) -> Mapping[str, Any] | None:
    """Row of a block, or the last before it: a window scored again after a restart has a row of each time."""
    if sequence is not None:
        rows = rows.filter(pc.less_equal(rows["block_sequence"], sequence)).sort_by("block_sequence")
    return _plain(rows.slice(rows.num_rows - 1))[0] if rows.num_rows else None


def _plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Few rows as Python values; times as microseconds since 1970."""
    columns = {
        name: column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    }
    plain: list[dict[str, Any]] = pa.table(columns).to_pylist()
    return plain


_TITLES: Final = {
    "measure": "reached the collector",
    "collect": "block published",
    "window": "window complete (waits for the window)",
    "featurize": "features published",
    "score": "score published",
    "alert": "alert published",
}


def _hops(rows: Rows) -> list[Hop]:
    """Hops whose both ends are known. The sample that is followed is the one that was published last."""
    measured = received = published = None
    if rows.samples.num_rows:
        order = [("block_sequence", "ascending"), ("source_time", "ascending")]
        newest = _plain(rows.samples.sort_by(order).slice(rows.samples.num_rows - 1))[0]
        measured, received, published = (newest[name] for name in ("source_time", "received_time", "published_time"))
    features = rows.features["published_time"] if rows.features else None
    score = rows.score["published_time"] if rows.score else None
    times = (measured, received, published, rows.trigger_us, features, score, rows.event["published_time"])
    hops = []
    for (name, title), start, end in zip(_TITLES.items(), times, times[1:], strict=False):
        if start is not None and end is not None:
            hops.append(
                Hop(
                    name=name,
                    title=title,
                    start=_iso(start),
                    end=_iso(end),
                    seconds=(end - start) / 1e6,
                    by_design=name == "window",
                )
            )
    return hops


def _blocks(samples: pa.Table) -> list[BlockUse]:
    if not samples.num_rows:
        return []
    found = samples.group_by(["block_sequence", "published_time"]).aggregate(
        [([], "count_all"), ("source_time", "min"), ("source_time", "max")]
    )
    return [
        BlockUse(
            sequence=row["block_sequence"],
            rows=row["count_all"],
            first=_iso(row["source_time_min"]),
            last=_iso(row["source_time_max"]),
            published=_iso(row["published_time"]),
        )
        for row in _plain(found.sort_by("block_sequence"))
    ]


def _signal(name: str, samples: pa.Table) -> SignalUse:
    if not samples.num_rows:
        return SignalUse(signal=name, samples=0, good=0, minimum=None, maximum=None, last=None, quality={})
    own = samples.filter(pc.equal(samples["signal"], name)).sort_by(
        [("source_time", "ascending"), ("source_nanos", "ascending"), ("ordinal", "ascending")]
    )
    quality = np.asarray(own["quality"])
    values = np.asarray(own["value"])[quality & UNUSABLE == 0]
    counts = {str(flag.name).lower().replace("_", "-"): int((quality & flag != 0).sum()) for flag in Quality if flag}
    return SignalUse(
        signal=name,
        samples=own.num_rows,
        good=len(values),
        minimum=float(values.min()) if len(values) else None,
        maximum=float(values.max()) if len(values) else None,
        last=float(values[-1]) if len(values) else None,
        quality={flag: count for flag, count in counts.items() if count},
    )


def _features(alert: Alert, row: Mapping[str, Any] | None) -> list[FeatureUse]:
    coverage = dict(zip(row["features"], row["coverage"], strict=True)) if row else {}
    return [
        FeatureUse(
            feature=part.feature,
            title=part.title,
            unit=part.unit,
            value=part.value,
            expected=part.expected,
            deviation=part.deviation,
            stored=row.get(feature_column(part.feature)) if row else None,
            coverage=coverage.get(part.feature),
            signals=part.signals,
        )
        for part in alert.contributions
    ]


def _missing(alert: Alert, rows: Rows) -> list[str]:
    why = "not stored yet, or no longer kept"
    lineage = alert.lineage
    told = []
    if rows.score is None:
        told.append(f"The score of {alert.asset} at {lineage.window_end} is {why}")
    if rows.features is None:
        told.append(f"The features of {alert.asset} at {lineage.window_end} are {why}")
    if not rows.samples.num_rows:
        told.append(f"The samples in the blocks {lineage.telemetry.first} to {lineage.telemetry.last} are {why}")
    elif rows.features is not None and rows.trigger_us is None:
        told.append("The block that completed the window is not known, so its wait is not told")
    return told + _differences(alert, rows)


def _differences(alert: Alert, rows: Rows) -> list[str]:
    """Values of the alert that are not those of the row they are said to come from."""
    if rows.features is None:
        return []
    stored = ((part, rows.features.get(feature_column(part.feature))) for part in alert.contributions)
    return [
        f"The alert says {part.feature} was {part.value:g}, and the stored row says {value:g}: they are not of one run"
        for part, value in stored
        if value is not None and value != part.value and not (np.isnan(value) and np.isnan(part.value))
    ]


def _iso(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")
