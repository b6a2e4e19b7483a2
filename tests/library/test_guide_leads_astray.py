"""A guide whose commands do not work as printed costs a reader the hour it promises; so this follows it to the letter.

After a change of an output, ``WHEELTAPPER_UPDATE=1`` writes the guide anew; read the difference.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.station import COMMAND, ROOT

GUIDE = ROOT / "docs" / "guides" / "add-a-class.md"
FENCE = re.compile(r"^```(yaml|console)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    assert program == "wheeltapper"
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert "Traceback" not in done.stdout
    return done.stdout


def write(block: str, folder: Path) -> None:
    """Write a block to the file that its first line names; one that names a line, too, replaces only that."""
    head, _, text = block.partition("\n")
    name, line = re.fullmatch(r"# ([\w/.-]+)(?:, line (\d+))?", head).groups()
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if line is None:
        path.write_text(text)
        return
    lines = path.read_text().splitlines(keepends=True)
    assert len(text.splitlines()) == 1
    lines[int(line) - 1] = text
    path.write_text("".join(lines))


def followed(guide: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Every console block of the guide as it is printed, and as it is."""
    for language, block in FENCE.findall(guide):
        if language == "yaml":
            write(block, folder)
            continue
        commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        assert commands
        yield block, "".join(f"$ {command}\n{run(command, folder)}" for command in commands)


def test_files_and_commands_of_the_guide_give_what_it_prints(tmp_path):
    guide = GUIDE.read_text(encoding="utf-8")
    blocks = list(followed(guide, tmp_path))
    assert len(blocks) >= 3
    if os.environ.get("WHEELTAPPER_UPDATE"):
        for printed, real in blocks:
            guide = guide.replace(f"```console\n{printed}```", f"```console\n{real}```", 1)
        GUIDE.write_text(guide, encoding="utf-8")
    else:
        for printed, real in blocks:
            assert printed == real


def test_library_commands_in_the_text_work(tmp_path):
    commands = re.findall(r"`wheeltapper (library[^`>]*)", GUIDE.read_text(encoding="utf-8"))
    assert commands
    for command in commands:
        assert "apiVersion: wheeltapper.dev/v1alpha1" in run(f"wheeltapper {command}", tmp_path)
