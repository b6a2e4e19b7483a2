"""Write the CRDs: ``python -m wheeltapper_api.generate``; with ``--check`` it only says whether they are right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import yaml

from wheeltapper_api.fields import GROUP
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.schema import crd

FOLDER: Final = Path(__file__).parents[2]
HEADER: Final = "# Generated from the models in crds/src by `make generate`; change those, not this.\n"


def files() -> dict[str, str]:
    """Text of every generated file by its name."""
    return {f"{kind.resource.plural}.{GROUP}.yaml": HEADER + _text(crd(kind)) for kind in KINDS.values()}


def stale(folder: Path) -> list[str]:
    """Names of files in a folder that differ from what the models give, or that no model gives any more."""
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob(f"*.{GROUP}.yaml")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: list[str]) -> int:
    """Write the files, or compare them where ``--check`` is given; the exit code is 1 if they differ."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("Usage: python -m wheeltapper_api.generate [--check]\n")
        return 2
    names = stale(FOLDER)
    if arguments:
        for name in names:
            sys.stderr.write(f"crds/{name} is not what the models give; run make generate\n")
        return 1 if names else 0
    wanted = files()
    for name in names:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


class _Dumper(yaml.SafeDumper):
    """No anchors: a reader of a CRD, and some of the tools, expect every part where it is used."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the parent's signature
        return True


def _text(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
