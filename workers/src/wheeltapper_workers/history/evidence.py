"""Evidence of an alert: a folder with all that it rests on, to be checked where none of this runs.

It holds the rows of the alert's line from some time before it on, and, where there was something before, the states of
the steps at that time: from them and the rows everything that followed can be done again, to the same bits. The states
were not stored but made, by doing the whole computation again from its beginning while the folder was written.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.config import LineConfig
from wheeltapper_api.fields import Model
from wheeltapper_api.wire import Alert, AlertEvent, Stage
from wheeltapper_workers.alerts.compose import time_ns
from wheeltapper_workers.history.evidence_page import page
from wheeltapper_workers.history.evidence_story import policy_of, read_story
from wheeltapper_workers.history.folder import Folder, Rows, file_of, write_parquet
from wheeltapper_workers.history.query import QueryError, alert_history, open_store
from wheeltapper_workers.history.replay import Replay, Which, job_of, run
from wheeltapper_workers.history.revisions import is_live
from wheeltapper_workers.history.sealed import seal
from wheeltapper_workers.history.stored import of_line
from wheeltapper_workers.history.tables import CONFIGS, FIELDS, TABLE_OF, TICKS, TIME, Store
from wheeltapper_workers.history.work import Job, Progress, Work
from wheeltapper_workers.runtime.checkpoint import encode
from wheeltapper_workers.scoring.model import graph
from wheeltapper_workers.scoring.session import Session
from wheeltapper_workers.software import SOFTWARE

LAYOUT: Final = "wheeltapper-evidence/1"
ROWS: Final = "rows"
STATES: Final = "states"
MODELS: Final = "models"
DOCUMENTS: Final = "documents"
_LIBRARIES: Final = ("numpy", "scipy", "onnx", "onnxruntime", "pyarrow", "deltalake")
_FLOW: Final = (Stage.TELEMETRY, Stage.FEATURES, Stage.SCORES, Stage.EVENTS)
_INPUT_COLUMN: Final = {
    Stage.FEATURES: "input_sequence",
    Stage.SCORES: "features_sequence",
    Stage.EVENTS: "input_sequence",
}
_README: Final = """Evidence of the alert {alert}

index.html   what happened, in words and pictures; open it in any browser
rows         what was stored, as Parquet: raw samples and their gaps, features, scores, events, and the configs and
             ticks that say how they were worked on; manifest.json and the files say what each column means
states       what the steps of the computation remembered before the first of these rows
models       the models as ONNX
documents    the alert, and the machine, class, failure model and policy it was judged by
manifest.json, SHA256SUMS   digests of every file

Was anything changed?          sha256sum -c SHA256SUMS
And does it follow from the data, to the same bits?
                               pip install 'wheeltapper[cli]'
                               wheeltapper evidence verify .
The manifest's fingerprint
stands in it, and was printed when the folder was made. Noted elsewhere, it shows that nobody wrote all of it anew.
"""


class Evidence(Model):
    """What was written."""

    alert_id: str
    folder: str
    fingerprint: str
    """Digest of the manifest: noted elsewhere, it binds the whole folder."""
    first_block: int
    """First block of the replay's input that is in the folder; 0 for the very first there was."""
    rows: dict[str, int]
    """By table."""
    files: int
    size_bytes: int
    replay: Replay
    """The whole computation, done again from the tables while this was written."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Blocks of a stream, inclusive."""

    first: int
    last: int

    def holds(self, column: str) -> pc.Expression:
        """Filter for the rows whose column lies in it."""
        return (pc.field(column) >= self.first) & (pc.field(column) <= self.last)


def export_evidence(
    root: str,
    tenant: str,
    alert_id: str,
    folder: Callable[[str], Path],
    *,
    which: Which = "last",
    context_ns: int | None,
    storage_options: Mapping[str, str] | None = None,
    progress: Progress = lambda _done, _last: None,
) -> Evidence:
    """Write the evidence of the one alert whose id is or begins with ``alert_id``.

    Parameters
    ----------
    folder
        Where to, by the alert's whole id; it must not be there yet, or be empty.
    context_ns
        How long before the alert's first window the rows begin; None takes all that there are.

    Raises
    ------
    QueryError
        If there is no such alert or more than one, what it was made of is not kept, or the folder is not empty.
    OSError
        If the folder cannot be written; then nothing is left of it.
    """
    store = open_store(root, tenant, storage_options)
    history = alert_history(store, tenant, alert_id)
    opened = AlertEvent.model_validate_json(history["document"][0].as_py()).data
    job = job_of(store, tenant, history, which)
    target = folder(opened.alert_id)
    _refuse_other_content(target)
    if context_ns is not None:
        job = replace(job, anchor=_anchor(store, job, opened, time_ns(opened.since) - context_ns))
    found, work = run(job, store, progress)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        rows = _write(partial, store, job, work, found)
        told = _manifest(job, work, found, rows)
        fingerprint = seal(partial, told)
        if target.exists():
            target.rmdir()
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    files = [path for path in target.rglob("*") if path.is_file()]
    return Evidence(
        alert_id=opened.alert_id,
        folder=str(target),
        fingerprint=fingerprint,
        first_block=told["firstBlock"],
        rows=rows,
        files=len(files),
        size_bytes=sum(path.stat().st_size for path in files),
        replay=found,
    )


def model_files(configs: Mapping[str, LineConfig]) -> dict[str, bytes]:
    """Graphs of all models of some configs, by the name of their file."""
    found: dict[str, bytes] = {}
    for config in configs.values():
        for model in config.models:
            data = graph(model)
            found[f"{model.name}-{model.version}-{Session(data).digest.removeprefix('sha256:')[:12]}.onnx"] = data
    return found


def _refuse_other_content(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise QueryError(f"{target} is there already; name another folder with --to, or remove it")


def _anchor(store: Store, job: Job, opened: Alert, start_ns: int) -> int:
    """First block of the replay's input that is needed for the alert and for every window since a time."""
    table, column = ("scores", "block_sequence") if job.start is Stage.SCORES else ("features", "block_sequence")
    column = "input_sequence" if job.start is Stage.TELEMETRY else column
    dataset = store.dataset(job.line.tenant, table)
    numbers = [getattr(opened.lineage, job.start.value).first]
    if dataset is not None:
        own = of_line(job.line) & is_live(dataset.schema)
        rows = dataset.to_table(columns=["window_end", column], filter=own)
        within = pc.greater_equal(rows["window_end"], pa.scalar(start_ns // 1000, TIME))
        if pc.all(within).as_py():
            return 0
        numbers.append(pc.min(rows.filter(within)[column]).as_py())
    return min((number for number in numbers if number), default=0)


def _write(folder: Path, store: Store, job: Job, work: Work, found: Replay) -> dict[str, int]:
    """Write all but the lists; returns the rows by table."""
    for name in (ROWS, STATES, MODELS, DOCUMENTS):
        (folder / name).mkdir()
    rows = _write_rows(folder / ROWS, store, job, work)
    for stage, rest in work.rests.items():
        (folder / STATES / f"{stage.value}.checkpoint").write_bytes(encode(rest))
    configs = {generation: job.told.config(generation) for generation in work.configs}
    for name, data in model_files(configs).items():
        (folder / MODELS / name).write_bytes(data)
    for name, document in _documents(job).items():
        (folder / DOCUMENTS / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    story = read_story(Folder(str(folder / ROWS)), job, found)
    (folder / "index.html").write_text(page(story), encoding="utf-8")
    (folder / "README.txt").write_text(_README.format(alert=job.alert.alert_id))
    return rows


def _write_rows(folder: Path, store: Store, job: Job, work: Work) -> dict[str, int]:
    line = of_line(job.line)
    own = line & (pc.field("shard") == job.line.shard)
    wheres = {CONFIGS: own, TICKS: own, TABLE_OF[Stage.GAPS]: line} | {
        TABLE_OF[stage]: line & where for stage, where in _ranges(job, work).items()
    }
    written = {}
    for table, where in wheres.items():
        dataset = store.dataset(job.line.tenant, table)
        if dataset is not None:
            meanings = {name: meaning for name, _, meaning in FIELDS[table]}
            rows = Rows(dataset, where & is_live(dataset.schema))
            written[table] = write_parquet(file_of(folder, table), rows, meanings)
    return written


def _ranges(job: Job, work: Work) -> dict[Stage, pc.Expression]:
    """Rows of each stage: those that the replay takes in, what came of them, and what it no longer can take in."""
    lineage = job.alert.lineage
    ranges = {
        stage: _Range(work.rests[stage].position + 1 if work.rests else 0, work.last(stage)) for stage in work.stages
    }
    found: dict[Stage, pc.Expression] = {}
    for source, stage in zip((None, *_FLOW), _FLOW, strict=False):
        if source in ranges:
            found[stage] = ranges[source].holds(_INPUT_COLUMN[stage])
        elif stage in ranges:
            found[stage] = ranges[stage].holds("block_sequence")
        else:
            told = getattr(lineage, stage.value)
            found[stage] = _Range(told.first, told.last).holds("block_sequence")
    return found


def _documents(job: Job) -> dict[str, Any]:
    """What the alert says and was judged by, each as a document of its own; the configs hold all of it once more."""
    alert = job.alert
    config = job.told.config(alert.lineage.generation)
    model, policy = policy_of(config, alert)
    asset = next(one for one in config.assets if one.name == alert.asset)
    plain: dict[str, Model] = {
        "alert": job.event,
        "twin": asset,
        "class": config.pipeline,
        "failure-model": model,
        "policy": policy,
    }
    return {name: document.model_dump(mode="json") for name, document in plain.items()}


def _manifest(job: Job, work: Work, found: Replay, rows: Mapping[str, int]) -> dict[str, Any]:
    return {
        "layout": LAYOUT,
        "alert": job.alert.alert_id,
        "event": job.event.id,
        "line": job.line.model_dump(mode="json"),
        "start": job.start.value,
        "firstBlock": work.rests[job.start].position + 1 if work.rests else 0,
        "lastBlock": job.last,
        "rows": dict(rows),
        "columns": {table: {name: meaning for name, _, meaning in FIELDS[table]} for table in rows},
        "lineage": job.alert.lineage.model_dump(mode="json"),
        "madeWith": job.alert.lineage.software,
        "exportedWith": {
            **SOFTWARE,
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        "replayed": found.model_dump(mode="json", exclude={"seconds"}),
    }
