"""What a person sees of an installation, as data: one row a twin, and what is wrong. Pure: documents and a clock in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wheeltapper_api.config import AssetConfig, WorkerConfig
from wheeltapper_api.fields import duration_text
from wheeltapper_api.wire import SEVERITIES, Alert, Line
from wheeltapper_cli.view_workers import new_words

Documents = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class TwinRow:
    """A twin as a table shows it."""

    tenant: str
    plant: str
    twin: str
    title: str
    criticality: str
    fresh_s: float | None = None
    """Seconds since its newest sample reached the collector; None before the first."""
    stale: bool = True
    mode: str | None = None
    score: float | None = None
    """Highest score of its failure models; 1.0 is at the limit."""
    failure_model: str = ""
    """Model with that score."""
    why: str = ""
    """Why there is no score."""
    health: str = "unknown"
    """good, or the worst severity of its open alerts, or unknown while nothing is scored."""
    open_alerts: list[str] = field(default_factory=list)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of each failure model what the alerter tells: score, severity, why there is no score."""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; the models are left to the screens."""
        return {name: value for name, value in asdict(self).items() if name != "models"}


def twins(configs: Iterable[WorkerConfig], documents: Documents, alerts: Iterable[Alert], now_ns: int) -> list[TwinRow]:
    """Rows of all twins, by tenant, plant and name."""
    rows: dict[tuple[str, str], TwinRow] = {}
    for config in configs:
        for line in config.lines:
            for asset in line.assets:
                key = (line.line.key, asset.name)
                rows.setdefault(key, _row(config.tenant, line.line.plant, asset))
    stale_after = {
        (line.line.key, asset.name): max(asset.stale_after_ns.values(), default=0)
        for config in configs
        for line in config.lines
        for asset in line.assets
    }
    for part in _parts(documents):
        role, told_line = part.get("role"), part.get("line")
        if told_line is None:
            continue
        key_of_line = Line.model_validate(told_line).key
        for name, told in part["summary"].get("assets", {}).items():
            row = rows.get((key_of_line, name))
            if row is None:
                continue
            if role == "featurize":
                _freshness(row, told, now_ns, stale_after[key_of_line, name])
            elif role == "alert":
                _score(row, told)
    for row in rows.values():
        if row.stale:
            _unknown(row)
    for alert in alerts:
        add_alert(rows.values(), alert)
    return [rows[key] for key in sorted(rows)]


def problems(documents: Documents) -> list[str]:
    """What is wrong, in the collectors' and workers' own words."""
    found = []
    for name, document in sorted(documents.items()):
        if document.get("problem"):
            found.append(f"{name}: {document['problem']}")
        for part in document.get("parts", {}).values():
            if part.get("connected") is False and not str(part.get("message")).startswith("Connecting"):
                found.append(part["message"])
            found.extend(problem["message"] for problem in part.get("problems", []) if isinstance(problem, dict))
            if part.get("problem"):
                found.append(part["problem"])
    return list(dict.fromkeys([*found, *new_words(documents, found)]))


def _row(tenant: str, plant: str, asset: AssetConfig) -> TwinRow:
    return TwinRow(tenant=tenant, plant=plant, twin=asset.name, title=asset.title, criticality=asset.criticality)


def _parts(documents: Documents) -> Iterable[Mapping[str, Any]]:
    return (part for document in documents.values() for part in document.get("parts", {}).values())


def _freshness(row: TwinRow, told: Mapping[str, Any], now_ns: int, stale_after_ns: int) -> None:
    age_ns = max(0, now_ns - int(told["received_ns"]))
    row.fresh_s = round(age_ns / 1e9, 1)
    row.stale = age_ns > stale_after_ns
    row.mode = told["mode"]


def _score(row: TwinRow, told: Mapping[str, Any]) -> None:
    """Of the models with a score the highest; of none, the first reason."""
    row.models = told.get("models", {})
    for model, state in sorted(told.get("models", {}).items()):
        score = state.get("score")
        if score is not None and math.isfinite(score):
            if row.score is None or score > row.score:
                row.score, row.failure_model, row.why = round(score, 2), model, ""
        elif row.score is None and not row.why:
            row.why = state.get("why", "")
    if row.score is not None:
        row.health = "good"


def _unknown(row: TwinRow) -> None:
    """An old score says nothing about a machine that is silent now."""
    row.score, row.failure_model, row.health, row.models = None, "", "unknown", {}
    row.why = "no data yet" if row.fresh_s is None else f"no data for {duration_text(int(row.fresh_s * 1e9))}"


def add_alert(rows: Iterable[TwinRow], alert: Alert) -> None:
    """Count an open alert in its twin's row."""
    for row in rows:
        if row.twin == alert.asset and row.plant == alert.plant and alert.state == "open":
            row.open_alerts.append(alert.alert_id)
            worst = max(
                SEVERITIES.index(row.health) if row.health in SEVERITIES else -1, SEVERITIES.index(alert.severity)
            )
            row.health = SEVERITIES[worst]
