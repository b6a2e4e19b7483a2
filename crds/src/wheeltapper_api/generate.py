"""Write CRDs, editors' schemas, reference pages and parts of the charts: ``python -m wheeltapper_api.generate``.

With ``--check`` it only says whether they are right.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from wheeltapper_api import field_examples, kind_pages, library_pages, library_versions
from wheeltapper_api.fields import GROUP, LIBRARY_NAMESPACE
from wheeltapper_api.json_schema import all_kinds_schema, kind_schema, schema_text
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.library import class_of, entries
from wheeltapper_api.schema import crd

FOLDER: Final = Path(__file__).parents[2]
HEADER: Final = "# Generated from the models in crds/src by `make generate`; change those, not this.\n"


_LIBRARY_HEADER: Final = "# Copied from crds/src/wheeltapper_api/library by `make generate`; change that, not this.\n"
_EXAMPLES: Final = FOLDER / "examples" / "valid"
_STATION: Final = FOLDER.parent / kind_pages.FOLDER
_SNIPPETS: Final = f"src/wheeltapper_api/{field_examples.FILE}"


def files() -> dict[str, str]:
    """Text of every generated file by its name below ``crds``: CRDs, editors' schemas, examples of fields."""
    schemas = {f"schema/{kind.resource.singular}.json": schema_text(kind_schema(kind)) for kind in KINDS.values()}
    snippets = json.dumps(field_examples.made_from(_EXAMPLES), indent=1, ensure_ascii=False) + "\n"
    return {
        **{f"{kind.resource.plural}.{GROUP}.yaml": HEADER + _text(crd(kind)) for kind in KINDS.values()},
        **schemas,
        "schema/all.json": schema_text(all_kinds_schema()),
        _SNIPPETS: snippets,
    }


def stale(folder: Path) -> list[str]:
    """Names of files in a folder that differ from what the models give, or that no model gives any more."""
    wanted = files()
    found = [*folder.glob(f"*.{GROUP}.yaml"), *folder.glob("schema/*.json"), *folder.glob(_SNIPPETS)]
    there = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: list[str]) -> int:
    """Write the files, or compare them where ``--check`` is given; the exit code is 1 if they differ."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("Usage: python -m wheeltapper_api.generate [--check]\n")
        return 2
    library = _elsewhere(check=bool(arguments))
    names = stale(FOLDER)
    if arguments:
        for name in names:
            sys.stderr.write(f"crds/{name} is not what the models give; run make generate\n")
        return 1 if names or library else 0
    wanted = files()
    for name in names:
        if name in wanted:
            (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return library


def library_files(root: Path) -> tuple[dict[Path, str], list[str]]:
    """Text of the library's generated files by path, and what is wrong with the library's versions.

    Parameters
    ----------
    root
        Folder of the project.
    """
    checksums = root / "crds" / "src" / "wheeltapper_api" / "library" / "CHECKSUMS"
    before = checksums.read_text(encoding="utf-8") if checksums.exists() else ""
    wanted = {root / "docs" / "classes" / name: text for name, text in library_pages.pages(entries()).items()}
    wanted[checksums] = library_versions.checksums(entries())
    return wanted, library_versions.refused(before, entries())


def kind_page_files(root: Path) -> dict[Path, str]:
    """Text of the kinds' pages by path.

    Parameters
    ----------
    root
        Folder of the project.
    """
    return {root / "docs" / "kinds" / name: text for name, text in kind_pages.pages(_STATION).items()}


def chart_files(root: Path) -> dict[Path, str]:
    """Text of the charts' generated files by path: the CRDs as templates, and the library.

    Parameters
    ----------
    root
        Folder of the project.
    """
    crds = root / "charts" / "wheeltapper-crds" / "templates"
    wanted = {crds / f"{kind.resource.plural}.{GROUP}.yaml": HEADER + _template(crd(kind)) for kind in KINDS.values()}
    library = root / "charts" / "wheeltapper" / "library"
    for entry in entries():
        path = library / f"{class_of(entry.resource)}.yaml"
        wanted[path] = wanted.get(path, _LIBRARY_HEADER) + f"---\n# {entry.path}\n{_kept(entry.text)}"
    return wanted


def _kept(text: str) -> str:
    """An object of the library that stays when the chart goes: twins are of it, and the operator holds it for them."""
    metadata = f"namespace: {LIBRARY_NAMESPACE}}}"
    return text.replace(metadata, f"{metadata[:-1]}, annotations: {{helm.sh/resource-policy: keep}}}}", 1)


def _template(document: dict[str, Any]) -> str:
    """A CRD as a template of a chart: it stays when the chart goes, since all objects of its kind would go with it."""
    metadata = document["metadata"] | {"annotations": {"helm.sh/resource-policy": "keep"}}
    return _text(document | {"metadata": metadata}).replace("{{", '{{ "{{" }}')


def _elsewhere(*, check: bool) -> int:
    """Write what is not below ``crds``; 1 if a version is refused, or a file differs and is only to be checked."""
    root = FOLDER.parent
    wanted, refused = library_files(root)
    wanted |= chart_files(root) | kind_page_files(root)
    folders = {path.parent for path in wanted if path.suffix}  # CHECKSUMS stands among files that are written by hand
    there = {*wanted, *(path for folder in folders for path in folder.glob("*.*"))}
    wrong = [p for p in sorted(there) if not p.exists() or p.read_text(encoding="utf-8") != wanted.get(p)]
    told = [
        f"{path.relative_to(root)} is not what the models and the library give; run make generate" for path in wrong
    ]
    if refused or check:
        sys.stderr.writelines(f"{line}\n" for line in refused or told)
        return 1 if refused or told else 0
    for path in wrong:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


class _Dumper(yaml.SafeDumper):
    """No anchors: a reader of a CRD, and some of the tools, expect every part where it is used."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the parent's signature
        return True


def _text(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
