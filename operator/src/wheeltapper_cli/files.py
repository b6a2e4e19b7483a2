"""Files as commands take them, and ``wheeltapper plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wheeltapper_api.backbone import StreamDefinition
from wheeltapper_api.kinds import Resource
from wheeltapper_api.library import with_library
from wheeltapper_api.load import load
from wheeltapper_api.plan import Plan
from wheeltapper_api.validate import problems_of
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_operator.compile import compile_plan

PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))


def load_valid(paths: tuple[Path, ...]) -> tuple[Resource, ...]:
    """Resources of files and folders, and of the library.

    Raises
    ------
    InvalidInputError
        With every problem, if there is any.
    """
    loaded = load(list(paths))
    problems = problems_of(loaded)
    if problems:
        raise InvalidInputError("\n".join(["These files cannot be used:", *(f"  {problem}" for problem in problems)]))
    if not loaded.resources:
        raise InvalidInputError(f"No resources of wheeltapper.dev in {', '.join(map(str, paths))}")
    return with_library(loaded.resources)


@click.command()
@PATHS
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def plan(paths: tuple[Path, ...], output: str) -> None:
    """Print what the resources in PATHS compile to: workers, what each does, streams. JSON has every detail.

    \b
    Examples:
      wheeltapper plan examples/pump-station --output json
    """
    compiled = compile_plan(load_valid(paths))
    if output == "json":
        click.echo(json.dumps(json.loads(compiled.to_json()), indent=2, sort_keys=True))
    else:
        click.echo(_text(compiled))


def _text(plan: Plan) -> str:
    lines: list[str] = []
    for tenant in plan.tenants:
        lines.append(f"Tenant {tenant.tenant}, namespace {tenant.namespace}")
        for worker in tenant.configs:
            lines.append(f"  {worker.worker}  ({', '.join(role.value for role in worker.roles)})")
            lines.extend(f"    reads {c.name}: {c.endpoint}, {len(c.series)} signals" for c in worker.collectors)
            lines.extend(f"    {_line(line.model_dump())}" for line in worker.lines)
        lines.extend(f"  {_stream(stream)}" for stream in tenant.streams)
    return "\n".join(lines)


def _stream(stream: StreamDefinition) -> str:
    what = "holds the sources" if stream.discard == "new" else "drops the oldest"
    return f"stream {stream.name}  up to {stream.max_bytes // 2**20} MiB, then {what}"


def _line(line: dict[str, Any]) -> str:
    assets = ", ".join(asset["name"] for asset in line["assets"][:8])
    more = f" and {len(line['assets']) - 8} more" if len(line["assets"]) > 8 else ""
    models = ", ".join(model["name"] for model in line["models"])
    return (
        f"{line['line']['assetClass']} at {line['plantTitle']}: {assets}{more}; "
        f"{len(line['pipeline']['features'])} features; models {models or 'none'}"
    )
