"""Files and folders checked in full: each document by itself, then all of them against one another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wheeltapper_api.checks import check
from wheeltapper_api.conditions import REFERENCE_NOT_FOUND
from wheeltapper_api.load import Loaded, Problem, load


def validate(paths: Iterable[Path]) -> list[Problem]:
    """What is wrong in files and folders, taken together, in the order of the files and their lines."""
    return problems_of(load(paths))


def problems_of(loaded: Loaded) -> list[Problem]:
    """What is wrong in files that are loaded already."""
    findings = check(loaded.resources)
    if loaded.problems:
        # A name may be missing only because the object that has it is broken; that one is named already.
        findings = tuple(finding for finding in findings if finding.reason != REFERENCE_NOT_FOUND)
    found = [loaded.problem(f.resource, f.path, f.message, f.remedy) for f in findings]
    return sorted([*loaded.problems, *found], key=lambda problem: (problem.file, problem.line))
