"""``lock_of.py NAME``: print the part of requirements.lock that an extra of this project, or one package, needs.

The lock names behind each package those that asked for it. So what an image needs is found without resolving anew, and
what is installed keeps the versions and hashes that were tested. Run in the folder of pyproject.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def packages(lock: str) -> dict[str, str]:
    """Lines of every package of a lock, by its name; one may have several versions, for several versions of Python."""
    found: dict[str, str] = {}
    for part in filter(None, re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)):
        name = re.split(r"[=\[ ;]", part, maxsplit=1)[0]
        found[name] = found.get(name, "") + part
    return found


def askers(lines: str) -> set[str]:
    """Names of the packages that asked for one, as the comments below it say."""
    comments = re.findall(r"^    #(?: via)? +(\S+)", lines, flags=re.MULTILINE)
    return {name for name in comments if name != "via"}


def chosen(lock: str, wanted: set[str]) -> str:
    """Part of a lock with the wanted packages and all that they ask for."""
    found = packages(lock)
    if unknown := wanted - found.keys():
        raise SystemExit(f"Not in the lock: {', '.join(sorted(unknown))}; run make lock")
    while more := {name for name, lines in found.items() if name not in wanted and askers(lines) & wanted}:
        wanted = wanted | more
    return "".join(found[name] for name in sorted(wanted))


def names(requirements: list[str]) -> set[str]:
    """Normalised names of requirements."""
    bare = (re.split(r"[<>=!~;\[ ]", text, maxsplit=1)[0] for text in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in bare}


def main(name: str) -> None:
    """Print the part for an extra or a package."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras[name]] if name in extras else [name]
    sys.stdout.write(chosen(Path("requirements.lock").read_text(), names(asked)))


if __name__ == "__main__":
    main(sys.argv[1])
