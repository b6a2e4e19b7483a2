"""``wheeltapper replay``: an alert's computation done again, or done with another model or policy."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from pydantic import Field, ValidationError

from wheeltapper_api.config import AssetModelConfig, LineConfig, ModelConfig, PolicyConfig, SeverityConfig
from wheeltapper_api.documents import read_documents
from wheeltapper_api.fields import Model, duration_ns, duration_text
from wheeltapper_api.kinds import FailureModel
from wheeltapper_api.kinds.failuremodel import Clear, SeverityBand
from wheeltapper_api.load import load
from wheeltapper_api.parsing import DocumentError
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import STATE
from wheeltapper_cli.options import OUTPUT, TENANT
from wheeltapper_cli.places import Place, explained, place
from wheeltapper_cli.served import Served
from wheeltapper_operator.compile.lines import model_config
from wheeltapper_workers.history.compare import Difference
from wheeltapper_workers.history.replay import Replay, Which
from wheeltapper_workers.history.replay import replay as replay_alert
from wheeltapper_workers.history.whatif import AlertSpan, WhatIf, what_if
from wheeltapper_workers.history.work import Progress
from wheeltapper_workers.runtime import memory

_TELL_EVERY_S: Final = 5.0
_WIDTH: Final = 78
_MADE_BY: Final = {"features": "the featurizer", "scores": "the scorer", "events": "the alerter"}


class Policy(Model):
    """What may stand in a file of ``--policy``: both fields as in a FailureModel."""

    severity: list[SeverityBand] = Field(min_length=1, max_length=3)
    clear: Clear


@click.command(cls=Served, resource="evidence", reads=("model", "policy"))
@click.argument("alert", required=False)
@STATE
@TENANT
@OUTPUT
@click.option(
    "--event", type=click.Choice(["last", "opened"]), default="last", show_default=True, help="Event to go up to."
)
@click.option("--twin", help="Instead of ALERT: the twin on which another model or policy is tried.")
@click.option("--from", "start", help="Begin of the period, in UTC, such as 2026-03-01 or 2026-03-01T06:00.")
@click.option("--to", "end", help="End of the period.")
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="FailureModel to try.")
@click.option(
    "--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML with severity and clear."
)
@click.pass_context
def replay(context: click.Context, /, alert: str | None, state: Path, tenant: str | None, **options: Any) -> None:
    """Compute ALERT (the beginning of its id is enough) again from what is stored, and compare every row on the way.

    With --twin, say which alerts there would have been with another failure model or policy, and how they differ from
    those that there were.

    Ends with 0 if all is the same, with 1 if something differs, and with 2 if it could not be tried.

    \b
    Examples:
      wheeltapper replay p-103-bearing-wear
      wheeltapper replay p-103-bearing-wear --event opened --output json
      wheeltapper replay --twin p-103 --from 2026-03-01 --to 2026-03-08 --model bearing-wear.yaml
      wheeltapper replay --twin p-103 --from 2026-03-01 --to 2026-03-08 --policy stricter.yaml
    """
    with explained():
        where = place(state, tenant)
        if alert and not any(options[name] for name in ("twin", "start", "end", "model", "policy")):
            same = _again(where, alert, options["event"], options["output"])
        elif options["twin"] and not alert:
            same = _tried(where, options)
        else:
            raise InvalidInputError(
                "Name an alert, or a twin with --twin, --from and --to; wheeltapper get alerts --all"
            )
    if not same:
        context.exit(1)


def progress_lines() -> Progress:
    """Tells on standard error, every few seconds, how far it is."""
    began = told = time.monotonic()

    def progress(done: int, last: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            click.echo(f"Block {done:,} of {last:,} after {told - began:.0f} s", err=True)

    return progress


def _again(where: Place, alert: str, which: Which, output: str) -> bool:
    memory.keep_freed()
    found = replay_alert(
        where.root, where.tenant, alert, which=which, progress=progress_lines(), storage_options=where.options
    )
    click.echo(found.model_dump_json() if output == "json" else "\n".join(_text(found)))
    return found.same


def _text(found: Replay) -> Iterator[str]:
    yield f"Alert {found.alert_id}, up to {found.event}"
    span = duration_text(int(found.span_s * 1e9))
    yield f"  {found.rows:,} rows in {found.blocks:,} blocks, {span}, computed again in {found.seconds:.1f} s"
    yield f"  configs {', '.join(found.configs)}"
    yield ""
    for hop in found.hops:
        yield f"  {hop.name:<10}{hop.rows:>12,} rows compared{hop.equal:>12,} the same"
    yield ""
    yield from what_differs(found)
    for note in found.notes:
        yield from textwrap.wrap(f"! {note}.", _WIDTH, subsequent_indent="  ")


def what_differs(found: Replay) -> Iterator[str]:
    """Whether all is the same, and if not, the first difference of each hop."""
    how = "the same bits" if found.exact else "the same within 1e-9"
    yield (
        f"Everything is {how}." if found.same else f"DIFFERENT: the {found.differs}, made by {_MADE_BY[found.differs]}."
    )
    for hop in found.hops:
        if hop.first is not None:
            yield from _difference(hop.name, hop.first)


def _difference(hop: str, first: Difference) -> Iterator[str]:
    model = f", {first.failure_model}" if first.failure_model else ""
    block = f", {hop.upper()} {first.sequence}" if first.sequence else ""
    column = f", {first.column}" if first.column else ""
    yield f"  first in {hop}: {first.asset}{model} at {first.window_end}{block}{column}"
    yield f"    stored    {first.stored[:200]}"
    yield f"    replayed  {first.replayed[:200]}"


def _tried(where: Place, options: dict[str, Any]) -> bool:
    if not options["start"] or not options["end"]:
        raise InvalidInputError("Give the period with --from and --to, such as --from 2026-03-01 --to 2026-03-08")
    start, end = moment(options["start"], "--from"), moment(options["end"], "--to")
    if end <= start:
        raise InvalidInputError(f"The period ends before it begins: --from {options['start']} --to {options['end']}")
    model = _model(options["model"]) if options["model"] else None
    policy = _policy(options["policy"]) if options["policy"] else None

    def change(config: LineConfig) -> LineConfig:
        if model is not None:
            config = _with_model(config, model, options["model"])
        return config if policy is None else _with_policy(config, policy, model.name if model else None)

    found = what_if(where.root, where.tenant, options["twin"], start, end, change, storage_options=where.options)
    click.echo(found.model_dump_json() if options["output"] == "json" else "\n".join(_alerts_text(found)))
    return not (found.only_before or found.only_after or found.changed)


def moment(text: str, option: str) -> int:
    """Microseconds since 1970 of a time; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{option} {text} is no time; write 2026-03-01 or 2026-03-01T06:00") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1e6)


def _model(path: Path) -> FailureModel:
    loaded = load([path])
    if loaded.problems:
        raise InvalidInputError("\n".join(str(problem) for problem in loaded.problems))
    models = [resource for resource in loaded.resources if isinstance(resource, FailureModel)]
    if len(models) != 1:
        raise InvalidInputError(f"{path} has {len(models)} failure models; name a file with one")
    return models[0]


def _policy(path: Path) -> PolicyConfig:
    try:
        documents = list(read_documents(path))
    except DocumentError as error:
        documents = [error]
    broken = next((one for one in documents if isinstance(one, DocumentError)), None)
    if broken is not None:
        raise InvalidInputError(f"{path}:{broken.line}: {broken.message}; {broken.remedy}")
    if len(documents) != 1:
        raise InvalidInputError(f"{path} has {len(documents)} documents; write one, with severity and clear")
    try:
        policy = Policy.model_validate(getattr(documents[0], "content", None))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(f"{path}: {where or 'document'}: {first['msg']}; write severity and clear") from None
    return PolicyConfig(
        severities=[
            SeverityConfig(name=band.name, above=band.above, hold_ns=duration_ns(band.hold), hold=band.hold)
            for band in policy.severity
        ],
        clear_below=policy.clear.below,
        clear_hold_ns=duration_ns(policy.clear.hold),
    )


def _with_model(config: LineConfig, model: FailureModel, path: Path) -> LineConfig:
    """Config in which the model takes the place of the one of its name, or is one more."""
    if model.spec.asset_class != config.line.asset_class:
        raise InvalidInputError(
            f"{path}: {model.name} is for the class {model.spec.asset_class}, and the twin is of "
            f"{config.line.asset_class}; set spec.class"
        )
    resolutions = {feature.name: feature.resolution for feature in config.pipeline.features}
    unknown = [entry.feature for entry in model.spec.inputs if entry.feature not in resolutions]
    if unknown:
        raise InvalidInputError(
            f"{path}: {model.name} looks at {', '.join(unknown)}, of which nothing is stored; "
            f"the features are {', '.join(resolutions)}"
        )
    tried: ModelConfig = model_config(model, resolutions)
    others = [one for one in config.models if one.name != model.name]
    asset = config.assets[0]
    used = [one for one in asset.models if one.name != model.name]
    own = next((one for one in asset.models if one.name == model.name), AssetModelConfig(name=model.name))
    asset = asset.model_copy(update={"models": [*used, own]})
    return config.model_copy(update={"models": [*others, tried], "assets": [asset]})


def _with_policy(config: LineConfig, policy: PolicyConfig, only: str | None) -> LineConfig:
    """Config in which the twin has the policy, for all its models or for the one that is tried."""
    asset = config.assets[0]
    models = [one.model_copy(update={"policy": policy}) if only in (None, one.name) else one for one in asset.models]
    return config.model_copy(update={"assets": [asset.model_copy(update={"models": models})]})


def _alerts_text(found: WhatIf) -> Iterator[str]:
    yield f"Alerts of {found.asset} from {found.start} to {found.end}, {found.windows:,} windows scored anew"
    for title, spans in (
        ("Only before", found.only_before),
        ("Only after", found.only_after),
        ("The same", found.same),
    ):
        yield f"{title}: {len(spans) or 'none'}"
        yield from (f"  {_span(span)}" for span in spans)
    yield f"Changed: {len(found.changed) or 'none'}"
    for pair in found.changed:
        yield f"  before  {_span(pair.before)}"
        yield f"  after   {_span(pair.after)}"
        yield f"          other {', '.join(pair.what)}"
    for note in found.notes:
        yield from textwrap.wrap(f"! {note}.", _WIDTH, subsequent_indent="  ")


def _span(span: AlertSpan) -> str:
    ended = f"cleared {span.cleared}" if span.cleared else "open"
    return f"{span.failure_model} {span.severity}, opened {span.opened}, {ended}, highest {span.peak_score:.2f}"
