"""The library's reference pages, made from its YAML: one page a class, and an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from wheeltapper_api.kinds import AssetClass, FailureModel
from wheeltapper_api.kinds.assetclass import Contract, Feature, Mode, ModeCondition, Signal, Spectrum
from wheeltapper_api.kinds.failuremodel import Action, Combine, Direction, FailureModelSpec
from wheeltapper_api.library import Entry, class_of
from wheeltapper_api.markdown import table

HEADER: Final = "<!-- Generated from the library's YAML by `make generate`; change that, not this. -->\n\n"
_WAY: Final = {Direction.UP: "rises", Direction.DOWN: "falls", Direction.EITHER: "rises or falls"}
_WHEN: Final = {
    "now": "now",
    "next-shift": "in the next shift",
    "next-planned-stop": "at the next planned stop",
    "monitor": "watch it",
}
_ISO_MODES: Final = {
    "ELP": "external leakage of the process medium",
    "INL": "internal leakage",
    "NOI": "noise",
    "OHE": "overheating",
    "PDE": "parameter deviation",
    "VIB": "vibration",
}
_ISO_MECHANISMS: Final = {
    "1.1": "leakage",
    "1.2": "vibration",
    "1.3": "clearance or alignment failure",
    "2.1": "cavitation",
    "2.4": "wear",
    "2.7": "overheating",
    "5.2": "contamination",
}


def pages(entries: Iterable[Entry]) -> dict[str, str]:
    """Text of every page by its file name."""
    classes: dict[str, AssetClass] = {}
    models: dict[str, list[FailureModel]] = {}
    for entry in entries:
        if isinstance(entry.resource, AssetClass):
            classes[entry.resource.name] = entry.resource
        else:
            models.setdefault(class_of(entry.resource), []).append(entry.resource)
    texts = {f"{name}.md": page(classes[name], models.get(name, [])) for name in classes}
    return texts | {"README.md": index(classes, models)}


def index(classes: dict[str, AssetClass], models: dict[str, list[FailureModel]]) -> str:
    """The page that leads to the others."""
    rows = [
        (f"[{c.spec.title}]({name}.md)", f"`{name}`", c.spec.version, str(len(c.spec.signals)), _titles(models, name))
        for name, c in classes.items()
    ]
    return HEADER + "\n".join(
        [
            "# Library",
            "",
            "Classes of machines and the ways they fail, which every tenant sees. A twin names the class and says",
            "where its signals come from; the failure models apply by themselves. One whose signals a twin does not",
            "bind gives no score.",
            "",
            "`wheeltapper library` lists them; `wheeltapper library show fan` prints the YAML, to copy and change.",
            "",
            *table(("class", "name", "version", "signals", "failures it is watched for"), rows),
            "",
            "An own class or failure model with the same name, in the tenant's namespace, comes before the library's.",
            "`library.failureModels` of a `TenantPolicy` lists the models a tenant takes; left out, it takes all.",
            "[Add a class](../guides/add-a-class.md) tells how to write one; all their fields are in",
            "[the kinds](../kinds/README.md).",
            "",
        ]
    )


def page(asset_class: AssetClass, models: Sequence[FailureModel]) -> str:
    """Page of a class."""
    spec = asset_class.spec
    code = f", equipment class {spec.iso14224} of ISO 14224" if spec.iso14224 else ""
    lines = [
        f"# {spec.title}",
        "",
        f"`class: {asset_class.name}`, version {spec.version}{code}.",
        "",
        *([spec.description, ""] if spec.description else []),
        "## Signals",
        "",
        *table(
            ("signal", "meaning", "kind", "measures", "unit", "comes every", "stale after", "range"),
            [_signal(signal) for signal in spec.signals],
        ),
        "",
        "Signals in bold must be bound. A sample outside the range is kept, marked, and left out of features.",
        "",
        "## Operating modes",
        "",
        "The first mode that holds is the one the machine is in.",
        "",
        *table(("mode", "holds when", "load bands"), [_mode(mode) for mode in spec.modes]),
        "",
        "## Features",
        "",
        f"A row every {spec.pipeline.every}, of samples that are at most {spec.pipeline.lateness} out of order.",
        "",
        *table(("feature", "meaning", "made of", "window"), [_feature(feature) for feature in spec.pipeline.features]),
        "",
        "## Failure models",
        "",
        *(line for model in models for line in _model(model, asset_class)),
        "## Sources",
        "",
        *(f"- {source}" for source in spec.sources),
        "",
    ]
    return HEADER + "\n".join(lines)


def _titles(models: dict[str, list[FailureModel]], name: str) -> str:
    return ", ".join(f"[{m.spec.failure_mode.title.lower()}]({name}.md#{m.name})" for m in models.get(name, []))


def _signal(signal: Signal) -> tuple[str, ...]:
    name = f"**`{signal.name}`**" if signal.required else f"`{signal.name}`"
    shape = signal.waveform
    unit = signal.unit or ", ".join(f"{state.value} {state.name}" for state in signal.states or []) or "text"
    if shape is not None:
        unit += f", {shape.samples} samples at {shape.sample_rate:g} Hz"
    contract = signal.contract
    return (
        name,
        signal.title or "",
        signal.kind.value,
        _measures(signal),
        unit,
        contract.interval,
        contract.stale_after,
        _range(contract),
    )


def _measures(signal: Signal) -> str:
    if signal.quantity is None:
        return ""
    words = [signal.quantity.value.replace("-", " "), signal.statistic.value]
    if (mounting := signal.mounting) is not None:
        words += [mounting.position.value.replace("-", " "), *([mounting.axis] if mounting.axis else [])]
        if mounting.band is not None:
            words.append(f"{mounting.band.lowest:g} to {mounting.band.highest:g} Hz")
    return ", ".join(words)


def _range(contract: Contract) -> str:
    if contract.range is None:
        return ""
    low, high = contract.range.min, contract.range.max
    text = " to ".join(f"{bound:.10g}" for bound in (low, high) if bound is not None)
    return text + (f", at most {contract.max_rate:g} a second" if contract.max_rate else "")


def _mode(mode: Mode) -> tuple[str, ...]:
    holds = " and ".join(_condition(condition) for condition in mode.when) or "always"
    bands = f"`{mode.bands.of}` at {', '.join(f'{e:g}' for e in mode.bands.edges)}" if mode.bands else ""
    return f"`{mode.name}`", holds, bands


def _condition(condition: ModeCondition) -> str:
    if condition.since is not None:
        return f"`{condition.since}` ended less than {condition.within} ago"
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (("at least", condition.at_least), ("below", condition.below))
        if bound is not None
    ]
    return f"`{condition.feature}` is {' and '.join(bounds)}"


def _feature(feature: Feature) -> tuple[str, ...]:
    made = f"{feature.function.value} of `{feature.of}`"
    if feature.equals is not None:
        made += f" being {feature.equals}"
    if feature.minus is not None:
        made += f" minus `{feature.minus}`"
    if feature.over is not None:
        made += f" over `{feature.over}`"
    if feature.spectrum is not None:
        made += _spectrum(feature.spectrum)
    return f"`{feature.name}`", feature.title or "", made, feature.window


def _spectrum(spectrum: Spectrum) -> str:
    text = ""
    if spectrum.orders is not None:
        text += f" at {', '.join(f'{order:g}' for order in spectrum.orders)} times `{spectrum.speed}`"
    if spectrum.band is not None:
        text += f" from {spectrum.band.lowest:g} to {spectrum.band.highest:g} Hz"
    if spectrum.envelope is not None:
        text += f", of the envelope of {spectrum.envelope.lowest:g} to {spectrum.envelope.highest:g} Hz"
    return text


def _model(model: FailureModel, asset_class: AssetClass) -> Iterator[str]:
    spec = model.spec
    yield from (f'<a id="{model.name}"></a>', "", f"### {spec.failure_mode.title}", "")
    yield from (f"`{model.name}`, version {spec.version}. {spec.failure_mode.description}", "")
    yield from (
        f"From the first sign to the failure it usually takes {spec.failure_mode.progression}. {_iso(spec)}",
        "",
    )
    yield from (f"**How it is seen.** {_seen(spec, asset_class)}", "")
    yield from table(
        ("severity", "score above", "for"), [(band.name, f"{band.above:g}", band.hold) for band in spec.severity]
    )
    yield from ("", f"An alert ends when the score is below {spec.clear.below:g} for {spec.clear.hold}.", "")
    yield from _action(spec.action)
    yield from ("Sources:", "", *(f"- {source}" for source in spec.sources), "")


def _iso(spec: FailureModelSpec) -> str:
    codes = spec.failure_mode.iso14224
    if codes is None:
        return ""
    return (
        f"ISO 14224: failure mode {_named(codes.failure_mode, _ISO_MODES)}, "
        f"mechanism {_named(codes.mechanism, _ISO_MECHANISMS)}."
    )


def _named(code: str | None, names: dict[str, str]) -> str:
    return f"{code} ({names[code]})" if code in names else code or "not given"


def _seen(spec: FailureModelSpec, asset_class: AssetClass) -> str:
    features = {feature.name: feature for feature in asset_class.spec.pipeline.features}
    inputs = [f"`{i.feature}` ({_title(features[i.feature])}) {_WAY[i.direction]}" for i in spec.inputs]
    detector = spec.detector.fixed_limit or spec.detector.robust_z_score or spec.detector.ewma
    combine = detector.combine if detector else Combine.ANY
    seen = (" and " if combine is Combine.ALL else " or ").join(inputs)
    modes = f"mode{'s' if len(spec.modes) > 1 else ''} {', '.join(f'`{mode}`' for mode in spec.modes)}"
    return f"{seen}, in the {modes}. {_score(spec)}"


def _title(feature: Feature) -> str:
    title = feature.title or feature.name
    return title[0].lower() + title[1:]


def _score(spec: FailureModelSpec) -> str:
    detector = spec.detector
    if detector.fixed_limit is not None:
        limits = [f"`{x.feature}` is 0 at {x.normal:g} and 1 at {x.limit:g}" for x in detector.fixed_limit.limits]
        return f"The score of {'; that of '.join(limits)}."
    learned = f"of at least {spec.baseline.at_least} of healthy operation" if spec.baseline else ""
    weakest = (detector.robust_z_score or detector.ewma) and _combined(spec)
    if detector.robust_z_score is not None:
        limit = detector.robust_z_score.limit
        return (
            f"The score is 1 at {limit:g} robust standard deviations from the machine's own median {learned}{weakest}."
        )
    if detector.ewma is not None:
        return (
            f"The score is 1 at {detector.ewma.limit:g} standard deviations of the moving average "
            f"(lambda {detector.ewma.smoothing:g}) from the machine's own median {learned}{weakest}."
        )
    return ""


def _combined(spec: FailureModelSpec) -> str:
    if len(spec.inputs) == 1:
        return ""
    detector = spec.detector.robust_z_score or spec.detector.ewma
    every = detector is not None and detector.combine is Combine.ALL
    return "; the input that deviates least decides" if every else "; the input that deviates most decides"


def _action(action: Action) -> Iterator[str]:
    yield from (f"**What to do**, {_WHEN[action.when]}: {action.recommend}.", "")
    if (runbook := action.runbook) is not None:
        yield from (f"{number}. {step}" for number, step in enumerate(runbook.inspect, 1))
        yield ""
        if runbook.capture:
            yield from ("Write down:", "", *(f"- {item}" for item in runbook.capture), "")
        if runbook.if_clears:
            yield from (f"If it clears by itself: {runbook.if_clears[0].lower()}{runbook.if_clears[1:]}.", "")
    if action.parts:
        parts = [
            f"{part.quantity} x {part.number}" + (f" ({part.title})" if part.title else "") for part in action.parts
        ]
        yield from (f"Parts: {', '.join(parts)}.", "")
