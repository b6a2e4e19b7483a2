"""What an image installs is cut out of the lock: with a package too few it fails in a cluster, when it is too late."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
SPEC = importlib.util.spec_from_file_location("lock_of", ROOT / "workers" / "lock_of.py")
lock_of = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lock_of)


def needed(name: str, extras: set[str]) -> set[tuple[str, str]]:
    """Packages that one asks for on this machine, by its own word, and the extras it asks them for."""
    asked = [Requirement(text) for text in requires(name) or ()]
    environments = [{"extra": extra} for extra in extras | {""}]
    chosen = (one for one in asked if one.marker is None or any(map(one.marker.evaluate, environments)))
    return {(canonicalize_name(one.name), extra) for one in chosen for extra in one.extras | {""}}


def closure(extra: str) -> set[str]:
    """All packages that an extra of this project needs here, as the installed packages say themselves."""
    found, open_ = set(), {("wheeltapper", extra)}
    while open_:
        name, one = open_.pop()
        found.add((name, one))
        open_ |= needed(name, {one}) - found
    return {name for name, _ in found} - {"wheeltapper"}


def printed(name, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    lock_of.main(name)
    return capsys.readouterr().out


@pytest.mark.parametrize("extra", ["operator", "workers", "edge"])
def test_nothing_is_missing(extra, monkeypatch, capsys):
    cut = lock_of.packages(printed(extra, monkeypatch, capsys))
    assert closure(extra) - cut.keys() == set()


@pytest.mark.parametrize(
    ("extra", "absent"),
    [
        ("operator", {"onnxruntime", "numpy", "asyncua", "pytest"}),
        ("workers", {"kopf", "kubernetes", "pytest"}),
        ("edge", {"kopf", "kubernetes", "onnxruntime", "pytest"}),
    ],
)
def test_nothing_of_another_part_comes_along(extra, absent, monkeypatch, capsys):
    assert absent <= lock_of.packages(LOCK).keys()
    assert not absent & lock_of.packages(printed(extra, monkeypatch, capsys)).keys()


def test_lines_stay_as_they_were_locked(monkeypatch, capsys):
    """Each with its hashes, and all versions of one that has several for several versions of Python."""
    cut = printed("workers", monkeypatch, capsys)
    assert set(cut.splitlines()) <= set(LOCK.splitlines())
    versions = re.compile(r"^numpy==.*$", re.MULTILINE)
    assert versions.findall(cut) == versions.findall(LOCK)
    assert "--hash=sha256:" in cut


def test_a_package_that_is_not_locked_is_named():
    with pytest.raises(SystemExit, match="nosuch"):
        lock_of.chosen(LOCK, {"pydantic", "nosuch"})
