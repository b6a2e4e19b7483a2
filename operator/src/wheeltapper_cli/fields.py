"""``wheeltapper explain-field`` and ``wheeltapper schema``: what may stand in a file, for people and for editors."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
import yaml

from wheeltapper_api.field_examples import examples
from wheeltapper_api.json_schema import all_kinds_schema, kind_schema, schema_text
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.reference import Field, fields_of, find_field, kind_named, kind_words
from wheeltapper_cli.errors import CommandError, InvalidInputError

_WIDTH: Final = 78


@click.command("explain-field")
@click.argument("path", default="")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--recursive", "-r", is_flag=True, help="List all fields below, not only the next ones.")
def explain_field(path: str, output: str, recursive: bool) -> None:
    """Explain a field: its type, default, values, rules, and an example. Without PATH, list the kinds.

    PATH begins with a kind, by its name, plural or short name, and goes down by dots.

    \b
    Examples:
      wheeltapper explain-field twin
      wheeltapper explain-field assetclass.spec.signals.statistic
      wheeltapper explain-field plant.spec --recursive
    """
    if not path.strip():
        kinds = [fields_of(kind)[""] for kind in KINDS.values()]
        click.echo(_json([asdict(kind) for kind in kinds]) if output == "json" else _rows(kinds, names=True))
        return
    answer = find_field(path)
    if answer.field is None:
        raise InvalidInputError(answer.remark)
    if answer.remark:
        click.echo(f"{answer.remark}.", err=True)
    found = answer.field
    below = _below(found, recursive=recursive)
    example = examples().get(f"{found.kind}.{found.path}")
    if output == "json":
        document = {"name": found.name, **asdict(found), "example": example}
        document["fields"] = [{"name": field.name, **asdict(field)} for field in below]
        click.echo(_json(document))
    else:
        click.echo("\n".join(_text(found, below, example)))


@click.command()
@click.argument("kind", default="")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write, instead of printing it."
)
def schema(kind: str, output: Path | None) -> None:
    """Print the JSON Schema of KIND, or one of all kinds, for editors that complete and check while one types.

    With the YAML language server, name the file in the first line of a manifest:
    # yaml-language-server: $schema=wheeltapper.json

    \b
    Examples:
      wheeltapper schema -o wheeltapper.json
      wheeltapper schema assettwin
    """
    if kind:
        model = kind_named(kind)
        if model is None:
            raise InvalidInputError(f"There is no kind {kind}. Known are {', '.join(kind_words())}")
        text = schema_text(kind_schema(model))
    else:
        text = schema_text(all_kinds_schema())
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The file {output} cannot be written: {error.strerror}. Name another one") from None


def _below(field: Field, *, recursive: bool) -> list[Field]:
    fields = fields_of(KINDS[field.kind])
    prefix = f"{field.path}." if field.path else ""
    if recursive:
        return [found for path, found in fields.items() if path and path.startswith(prefix)]
    return [fields[prefix + child] for child in field.children]


def _text(field: Field, below: list[Field], example: dict[str, str] | Any) -> list[str]:
    lines = [field.name]
    if field.path:
        needed = "required" if field.required else _default(field)
        lines += [f"  {field.sort}, {needed}"]
    lines += ["", *_wrapped(field.description, "")]
    if field.values:
        lines += ["", "Values", *_values(field)]
    lines += _section("Constraints", [_sentence(text) for text in field.constraints])
    lines += _section("Rules", [_sentence(text) for text in field.rules])
    if below:
        lines += ["", "Fields", *_rows(below, names=False, above=field.path).split("\n")]
    if example:
        shown = textwrap.indent(example["yaml"], "  ")
        lines += ["", f"Example, from {example['file']}", shown]
    return lines


def _values(field: Field) -> list[str]:
    if not any(field.values.values()):
        return _wrapped(", ".join(field.values), "  ")
    width = max(map(len, field.values))
    rows = (f"  {value:<{width}}  {words}".rstrip() for value, words in field.values.items())
    return [line for row in rows for line in textwrap.wrap(row, _WIDTH, subsequent_indent=" " * (width + 4))]


def _default(field: Field) -> str:
    if field.default is None or field.default == []:
        return "optional"
    if isinstance(field.default, dict):
        inside = yaml.safe_dump(field.default, default_flow_style=True, sort_keys=False, width=1000).strip()
        return f"optional, {inside if field.default else 'with the defaults of its fields'}"
    return f"optional, {field.default} where nothing is said"


def _section(title: str, entries: list[str]) -> list[str]:
    return ["", title, *(line for entry in entries for line in _wrapped(entry, "  "))] if entries else []


def _rows(fields: list[Field], *, names: bool, above: str = "") -> str:
    """One line a field: name, a star where it is required, type, and the first sentence of what it is."""
    shown = [field.name if names else field.path.removeprefix(above).lstrip(".") for field in fields]
    width = min(max(map(len, shown), default=0) + 1, 40)
    lines: list[str] = []
    for name, field in zip(shown, fields, strict=True):
        star = "*" if field.required and not names else ""
        head = f"  {name + star:<{width}}  "
        words = field.description if names else f"{field.sort}. {field.description}"
        lines += textwrap.wrap(
            words, max(_WIDTH, len(head) + 30), initial_indent=head, subsequent_indent=" " * len(head)
        ) or [head.rstrip()]
    if any("*" in line[: width + 3] for line in lines):
        lines.append("  * required")
    return "\n".join(lines)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  " if indent else "")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
