"""Every wrong file is refused with the message its first line expects: line, field, what is wrong, what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from wheeltapper_api.validate import validate

ROOT = Path(__file__).parents[2]
INVALID = sorted((ROOT / "crds" / "examples" / "invalid").glob("*.yaml"))
MARK = "# expect: "


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_example_is_refused_as_expected(path):
    first = path.read_text().partition("\n")[0]
    assert first.startswith(MARK), f"{path.name} does not say what to expect"
    (problem,) = validate([path])
    assert str(problem).removeprefix(f"{path}:") == first.removeprefix(MARK)


def test_there_are_enough_of_them():
    assert len(INVALID) >= 15


@pytest.mark.parametrize("name", ["pump-station", "skab"])
def test_examples_that_are_shipped_are_right(name):
    assert validate([ROOT / "examples" / name]) == []


@pytest.mark.parametrize("ending", ["\r\n", "\n"], ids=["windows", "unix"])
def test_line_numbers_are_right_whatever_the_line_ends(tmp_path, ending):
    source = (ROOT / "crds" / "examples" / "invalid" / "bad-enum.yaml").read_text()
    path = tmp_path / "bad-enum.yaml"
    path.write_bytes(source.replace("\n", ending).encode())
    (problem,) = validate([path])
    assert str(problem).startswith(f"{path}:30: spec.hosting:")


@pytest.mark.parametrize(
    "content",
    [
        b"a: " + b"[" * 100_000,
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("k"))),
        b"\xff\xfe\x00a",
        b"x: " + b"y" * (6 * 2**20),
        b"kind: !!python/object/apply:os.system [id]\n",
        b"- just\n- a list\n",
    ],
    ids=["deep", "bomb", "encoding", "huge", "python tag", "no mapping"],
)
def test_hostile_files_are_problems_and_nothing_more(tmp_path, content):
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content)
    problems = validate([path])
    assert problems
    assert all(str(problem).startswith(str(path)) for problem in problems)
