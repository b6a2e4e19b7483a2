"""What another failure model or policy would have said: one asset's stored features, scored and judged once more.

The features are taken from their beginning, so that a baseline is learned from what it would have been learned from;
only alerts that were open between two times are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.config import LineConfig
from wheeltapper_api.explain import suggestion
from wheeltapper_api.fields import Model
from wheeltapper_api.wire import SEVERITIES, AlertEvent, Line, Stage
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.history.query import QueryError, open_store
from wheeltapper_workers.history.restored import feature_blocks
from wheeltapper_workers.history.revisions import is_live
from wheeltapper_workers.history.stored import in_order, of_line
from wheeltapper_workers.history.tables import CONFIGS, Store
from wheeltapper_workers.history.told import told
from wheeltapper_workers.runtime.blocks import Block, numbers
from wheeltapper_workers.scoring.scorer import ScoreStep

_RANK: Final[dict[str, int]] = {severity: rank for rank, severity in enumerate(SEVERITIES)}


class AlertSpan(Model):
    """An alert from its beginning to its end, as its events tell it. Times are of the windows, UTC."""

    alert_id: str
    failure_model: str
    severity: str
    """The highest it had."""
    opened: str
    cleared: str | None
    peak_score: float


class Changed(Model):
    """An alert that there is both times, and not the same."""

    before: AlertSpan
    after: AlertSpan
    what: list[str]
    """Which of severity, opened and cleared differ."""


class WhatIf(Model):
    """Alerts of one asset: those that there were, and those that there would have been."""

    asset: str
    plant: str
    asset_class: str
    start: str
    end: str
    windows: int
    """That were scored anew, from the beginning of what is stored."""
    same: list[AlertSpan]
    only_before: list[AlertSpan]
    only_after: list[AlertSpan]
    changed: list[Changed]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Period:
    start_us: int
    end_us: int

    def touches(self, span: AlertSpan) -> bool:
        """Whether the alert was open at some time of the period."""
        cleared = _us(span.cleared) if span.cleared else None
        return _us(span.opened) <= self.end_us and (cleared is None or cleared >= self.start_us)


def what_if(
    root: str,
    tenant: str,
    asset: str,
    start_us: int,
    end_us: int,
    change: Callable[[LineConfig], LineConfig],
    *,
    storage_options: Mapping[str, str] | None = None,
) -> WhatIf:
    """Alerts of an asset between two times, and those under a changed config.

    Parameters
    ----------
    start_us, end_us
        Microseconds since 1970.
    change
        Given the config of the asset's line with this asset alone, returns the one to be tried.

    Raises
    ------
    QueryError
        If the asset is not known, or nothing of it is stored.
    """
    store = open_store(root, tenant, storage_options)
    line = _line(store, tenant, asset)
    config = _config(store, line, asset, end_us)
    tried = change(config)
    period = _Period(start_us, end_us)
    windows, events = _run(feature_blocks(store, line, asset=asset, features=_names(tried)), tried, end_us)
    after = [span for span in spans(events) if period.touches(span)]
    before = [span for span in spans(_stored(store, line, asset, end_us)) if period.touches(span)]
    notes = []
    if config.assets[0].mode == "observe":
        notes.append(f"{asset} is only observed: whatever its scores, it opens no alert")
    if not windows:
        notes.append(f"No features of {asset} are stored before the end of the period")
    return _diff(before, after, config, asset, period, windows, notes)


def spans(events: Iterable[AlertEvent]) -> list[AlertSpan]:
    """Alerts of events in their order."""
    found: dict[str, AlertSpan] = {}
    for event in events:
        alert = event.data
        severity: str = alert.severity
        if earlier := found.get(alert.alert_id):
            severity = max(severity, earlier.severity, key=lambda one: _RANK[one])
        found[alert.alert_id] = AlertSpan(
            alert_id=alert.alert_id,
            failure_model=alert.failure_model,
            severity=severity,
            opened=alert.opened,
            cleared=alert.cleared,
            peak_score=alert.peak_score,
        )
    return list(found.values())


def _line(store: Store, tenant: str, asset: str) -> Line:
    """Line that has the asset, by the configs that are kept."""
    dataset = store.dataset(tenant, CONFIGS)
    if dataset is None:
        raise QueryError(f"No configs of {tenant} are kept yet in {store.root}; see that the historian runs")
    known: dict[str, Line] = {}
    rows = dataset.to_table(columns=["document", "time"]).sort_by("time")
    for document in rows["document"].to_pylist():
        config = LineConfig.model_validate_json(document)
        known |= {one.name: config.line for one in config.assets}
    if asset not in known:
        raise QueryError(f"There is no twin {asset}. {suggestion(asset, known.keys())}")
    return known[asset]


def _config(store: Store, line: Line, asset: str, end_us: int) -> LineConfig:
    """Config of the asset's last features before the end, with this asset alone."""
    dataset = store.dataset(line.tenant, "features")
    rows = pa.table({"block_sequence": pa.array([], pa.int64())})
    if dataset is not None:
        own = of_line(line) & (pc.field("asset") == asset) & (pc.field("window_end") <= _time(end_us))
        rows = dataset.to_table(columns=["block_sequence", "generation"], filter=own & is_live(dataset.schema))
    if not rows.num_rows:
        raise QueryError(f"No features of {asset} are stored before {_iso(end_us)}; choose a later end")
    last = pc.index(rows["block_sequence"], pc.max(rows["block_sequence"])).as_py()
    config = told(store, line).config(rows["generation"][last].as_py())
    return config.model_copy(update={"assets": [one for one in config.assets if one.name == asset]})


def _names(config: LineConfig) -> list[str]:
    return [feature.name for feature in config.pipeline.features]


def _run(blocks: Iterable[Block], config: LineConfig, end_us: int) -> tuple[int, list[AlertEvent]]:
    """Windows up to the end, and the events they lead to."""
    scorer, alerter = ScoreStep(config), AlertStep(config)
    scores, alerts = scorer.initial(config), alerter.initial(config)
    windows, events = 0, []
    for block in blocks:
        within = numbers(block.batch, "window_end") <= end_us * 1000
        if not within.any():
            continue
        batch = block.batch.filter(pa.array(within))
        windows += batch.num_rows
        scores, made = scorer.step(scores, Block(block.stream, block.sequence, batch))
        for one in made:
            if isinstance(one, pa.RecordBatch) and one.num_rows:
                alerts, told_now = alerter.step(alerts, Block(Stage.SCORES.stream, block.sequence, one))
                events += [event for event in told_now if isinstance(event, AlertEvent)]
    return windows, events


def _stored(store: Store, line: Line, asset: str, end_us: int) -> list[AlertEvent]:
    found = []
    for rows in in_order(store, line, "events"):
        own = rows.filter(pc.and_(pc.equal(rows["asset"], asset), pc.less_equal(rows["time"], _time(end_us))))
        found += [
            AlertEvent.model_validate_json(text) for text in own.sort_by("block_sequence")["document"].to_pylist()
        ]
    return found


def _diff(
    before: list[AlertSpan],
    after: list[AlertSpan],
    config: LineConfig,
    asset: str,
    period: _Period,
    windows: int,
    notes: list[str],
) -> WhatIf:
    """Pairs of alerts of one failure model that were open at the same time, and what is left over."""
    left, same, changed = list(after), [], []
    only_before = []
    for old in before:
        new = next((one for one in left if one.failure_model == old.failure_model and _overlap(old, one)), None)
        if new is None:
            only_before.append(old)
            continue
        left.remove(new)
        what = [name for name in ("severity", "opened", "cleared") if getattr(old, name) != getattr(new, name)]
        if what:
            changed.append(Changed(before=old, after=new, what=what))
        else:
            same.append(new)
    return WhatIf(
        asset=asset,
        plant=config.line.plant,
        asset_class=config.line.asset_class,
        start=_iso(period.start_us),
        end=_iso(period.end_us),
        windows=windows,
        same=same,
        only_before=only_before,
        only_after=left,
        changed=changed,
        notes=notes,
    )


def _overlap(one: AlertSpan, other: AlertSpan) -> bool:
    return all(a.cleared is None or _us(b.opened) <= _us(a.cleared) for a, b in ((one, other), (other, one)))


def _us(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "us").astype(np.int64))


def _iso(microseconds: int) -> str:
    return f"{np.datetime64(microseconds, 'us').astype('datetime64[s]')}Z"


def _time(microseconds: int) -> Any:
    return pa.scalar(microseconds, pa.timestamp("us", tz="UTC"))
