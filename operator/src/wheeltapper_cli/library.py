"""``wheeltapper library``: the classes and failure models that every tenant sees."""

from __future__ import annotations

import json
from typing import Any

import click

from wheeltapper_api.explain import suggestion
from wheeltapper_api.kinds import AssetClass
from wheeltapper_api.library import Entry, class_of, entries
from wheeltapper_cli.errors import InvalidInputError


@click.group(invoke_without_command=True)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def library(ctx: click.Context, output: str) -> None:
    """List the library: classes of machines, the failure models of each, and their versions.

    \b
    Examples:
      wheeltapper library
      wheeltapper library show centrifugal-pump
      wheeltapper library show pump-cavitation > pump-cavitation.yaml
    """
    if ctx.invoked_subcommand is not None:
        return
    if output == "json":
        click.echo(json.dumps([_document(entry) for entry in entries()]))
        return
    width = max(len(entry.resource.name) for entry in entries()) + 2
    for entry in entries():
        indent, resource = "" if _is_class(entry) else "  ", entry.resource
        click.echo(f"{indent}{resource.name:<{width - len(indent)}}  {resource.spec.version:<8}  {_title(entry)}")


@library.command()
@click.argument("name")
@click.option("--models/--no-models", default=True, show_default=True, help="With the failure models of a class.")
def show(name: str, *, models: bool) -> None:
    """Print the YAML of a class with its failure models, or of one failure model, to copy and change.

    \b
    Examples:
      wheeltapper library show fan > fan.yaml
    """
    found = [entry for entry in entries() if entry.resource.name == name]
    if not found:
        names = [entry.resource.name for entry in entries()]
        raise InvalidInputError(f"There is no {name} in the library. {suggestion(name, names)}")
    if _is_class(found[0]) and models:
        found = [entry for entry in entries() if class_of(entry.resource) == name]
    click.echo("---\n".join(entry.text for entry in found), nl=False)


def _is_class(entry: Entry) -> bool:
    return isinstance(entry.resource, AssetClass)


def _title(entry: Entry) -> str:
    resource = entry.resource
    return resource.spec.title if isinstance(resource, AssetClass) else resource.spec.failure_mode.title


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.resource.kind,
        "name": entry.resource.name,
        "class": class_of(entry.resource),
        "version": entry.resource.spec.version,
        "title": _title(entry),
    }
