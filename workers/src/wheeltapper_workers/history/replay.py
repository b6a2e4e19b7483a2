"""The whole computation of an alert, done again from stored blocks and held against what was stored then.

Telemetry goes through the featurizer, its rows through the scorer, and their scores through the alerter, under the
configs that held at each block. Every row that any of them ever made for the line is compared, up to the alert.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import date
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.fields import Model
from wheeltapper_api.wire import Alert, AlertEvent, Line, Stage
from wheeltapper_workers.history.query import QueryError, alert_history, open_store
from wheeltapper_workers.history.revisions import is_live
from wheeltapper_workers.history.stored import first_sequence, of_line, removed_days
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.history.told import lines, told
from wheeltapper_workers.history.work import Hop, Job, Progress, Work, first_block
from wheeltapper_workers.software import SOFTWARE

Which = Literal["opened", "last"]
_INPUT_COLUMN: Final = {"features": "input_sequence", "scores": "features_sequence"}


class Replay(Model):
    """What came of it."""

    alert_id: str
    event: str
    """Id of the event up to which it was done again."""
    plant: str
    asset_class: str
    hops: list[Hop]
    """Those that were done again, in the order of the flow."""
    same: bool
    differs: str
    """Name of the first hop that differs; empty if none does."""
    exact: bool
    """Compared bit by bit, and not within a tolerance."""
    notes: list[str]
    """What limits what the result says."""
    blocks: int
    rows: int
    """Of the first hop's input."""
    configs: list[str]
    """Generations that were in force."""
    span_s: float
    """From the first to the last window end that was made again."""
    seconds: float
    """How long it took."""


def replay(
    root: str,
    tenant: str,
    alert_id: str,
    *,
    which: Which = "last",
    storage_options: Mapping[str, str] | None = None,
    progress: Progress = lambda _done, _last: None,
) -> Replay:
    """Do the computation of the one alert whose id is or begins with ``alert_id`` again.

    Raises
    ------
    QueryError
        If there is no such alert or more than one, or what it was made of is not kept.
    """
    store = open_store(root, tenant, storage_options)
    found, _ = run(job_of(store, tenant, alert_history(store, tenant, alert_id), which), store, progress)
    return found


def run(job: Job, store: Store, progress: Progress = lambda _done, _last: None) -> tuple[Replay, Work]:
    """Do a job; what came of it, and the work as it is then."""
    began = time.perf_counter()
    work = Work(store, job)
    work.run(progress)
    hops = work.hops()
    found = Replay(
        alert_id=job.alert.alert_id,
        event=job.event.id,
        plant=job.line.plant,
        asset_class=job.line.asset_class,
        hops=hops,
        same=all(hop.first is None for hop in hops),
        differs=next((hop.name for hop in hops if hop.first is not None), ""),
        exact=job.exact,
        notes=job.notes,
        blocks=work.blocks,
        rows=work.rows,
        configs=work.configs,
        span_s=work.span_s,
        seconds=time.perf_counter() - began,
    )
    return found, work


def job_of(store: Store, tenant: str, history: pa.Table, which: Which, start: Stage | None = None) -> Job:
    """Job of the alert that has these event rows.

    Parameters
    ----------
    start
        Input of the first step; None takes the earliest that is kept from its beginning.

    Raises
    ------
    QueryError
        If what it was made of is not kept.
    """
    rows = history.slice(0, 1) if which == "opened" else history.slice(history.num_rows - 1)
    event = AlertEvent.model_validate_json(rows["document"][0].as_py())
    line = _line(store, tenant, event.data)
    lasts = _lasts(store, line, rows["input_sequence"][0].as_py(), event.data)
    notes: list[str] = []
    if start is None:
        start, notes = _start(store, line, event.data)
    made_with = [json.loads(text)["data"]["lineage"]["software"] for text in history["document"].to_pylist()]
    other = next((software for software in made_with if software != SOFTWARE), None)
    if other is not None:
        notes.append(_software_note(other))
    return Job(line, event, start, lasts[start], told(store, line), other is None, notes)


def _line(store: Store, tenant: str, alert: Alert) -> Line:
    """Line of the alert's asset; where the class is divided, the part that has the asset."""
    found = lines(store, tenant, alert.plant, alert.asset_class)
    for line in found:
        if any(one.name == alert.asset for config in told(store, line).configs.values() for one in config.assets):
            return line
    return found[0] if found else Line(tenant=tenant, plant=alert.plant, asset_class=alert.asset_class)


def _lasts(store: Store, line: Line, scores: int | None, alert: Alert) -> dict[Stage, int]:
    """Last block of each stream that the event rests on."""
    lineage = alert.lineage
    scores = scores or lineage.scores.last
    features = _made_of(store, line, "scores", scores) or lineage.features.last
    telemetry = _made_of(store, line, "features", features) or lineage.telemetry.last
    return {Stage.SCORES: scores, Stage.FEATURES: features, Stage.TELEMETRY: telemetry}


def _made_of(store: Store, line: Line, table: str, number: int) -> int | None:
    dataset = store.dataset(line.tenant, table)
    if dataset is None:
        return None
    column = _INPUT_COLUMN[table]
    of_block = of_line(line) & (pc.field("block_sequence") == number) & is_live(dataset.schema)
    rows = dataset.to_table(columns=[column], filter=of_block)
    found: int | None = pc.max(rows[column]).as_py()
    return found


def _start(store: Store, line: Line, alert: Alert) -> tuple[Stage, list[str]]:
    """Input that is kept from its beginning, the earliest there is; and why it is none before it."""
    notes: list[str] = []
    features, scores = first_block(store, line, "features"), first_block(store, line, "scores")
    raw = first_sequence(store, line, "raw")
    if features is None or scores is None:
        raise QueryError(f"No {'features' if features is None else 'scores'} of {alert.asset_class} are stored")
    windows = np.asarray(features["telemetry_first"])
    begin = int(windows[windows > 0].min(initial=np.iinfo(np.int64).max))
    day = date.fromisoformat(alert.updated[:10])
    gone = removed_days(store, line, "raw", day)
    if raw is not None and raw <= begin and not gone:
        return Stage.TELEMETRY, notes
    if gone:
        said = f"Retention has removed {len(gone)} days of telemetry, the last of them {gone[-1]}"
        notes.append(f"{said}: features cannot be made again")
    else:
        kept = f"from {_published(store, line, raw)} (block {raw}) on" if raw is not None else "no more"
        notes.append(f"Telemetry is stored {kept}, later than the features begin: they cannot be made again")
    first = int(features["block_sequence"][0].as_py())
    learned = any(scores["baseline_digest"].to_pylist())
    whole = not removed_days(store, line, "features", day)
    if first <= int(scores["features_sequence"][0].as_py()) and not learned and whole:
        return Stage.FEATURES, notes
    notes.append("Features are stored from a time on when the baselines were learned: scores cannot be made again")
    if int(scores["block_sequence"][0].as_py()) > alert.lineage.scores.first:
        raise QueryError(f"{'. '.join(notes)}. The scores of {alert.alert_id} are not all stored either")
    return Stage.SCORES, notes


def _published(store: Store, line: Line, number: int) -> str:
    dataset = store.dataset(line.tenant, "raw")
    where = of_line(line) & (pc.field("block_sequence") == number)
    found = dataset.head(1, columns=["published_time"], filter=where)["published_time"] if dataset else []
    return str(found[0].as_py().isoformat(timespec="seconds")) if len(found) else "an unknown time"


def _software_note(other: Mapping[str, str]) -> str:
    names = sorted({*other, *SOFTWARE})
    pairs = [(name, other.get(name, "none"), SOFTWARE.get(name, "none")) for name in names]
    told_apart = ", ".join(f"{name} {old} there and {new} here" for name, old, new in pairs if old != new)
    return (
        f"The alert was made with other software ({told_apart}), so numbers are compared within 1e-9 of their size "
        "instead of bit by bit"
    )
