"""Files and folders checked in full: each document by itself, then all against one another and the library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wheeltapper_api.checks import check
from wheeltapper_api.checks.finding import Finding
from wheeltapper_api.conditions import REFERENCE_NOT_FOUND
from wheeltapper_api.documents import field_text
from wheeltapper_api.library import with_library
from wheeltapper_api.load import Loaded, Problem, load


def validate(paths: Iterable[Path]) -> list[Problem]:
    """What is wrong in files and folders, taken together, in the order of the files and their lines."""
    return problems_of(load(paths))


def problems_of(loaded: Loaded) -> list[Problem]:
    """What is wrong in files that are loaded already."""
    findings = check(with_library(loaded.resources))
    if loaded.broken:
        findings = tuple(_without_followers(findings, loaded.broken))
    own = {id(resource) for resource in loaded.resources}
    found = [
        loaded.problem(f.resource, f.path, f.message, f.remedy) if id(f.resource) in own else _of_library(f)
        for f in findings
    ]
    return sorted([*loaded.problems, *found], key=lambda problem: (problem.file, problem.line))


def _without_followers(findings: Iterable[Finding], broken: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    """Findings without those of names that may be missing only because the object that has it is broken."""
    # Of a document that cannot be read nobody knows what it is, and without its policy a tenant has nothing.
    unknown = any(kind in {"", "TenantPolicy"} for kind, _ in broken)
    names = {name for _, name in broken}
    for finding in findings:
        words = finding.message.replace(",", " ").split()
        if finding.reason != REFERENCE_NOT_FOUND or not (unknown or names.intersection(words)):
            yield finding


def _of_library(finding: Finding) -> Problem:
    """Problem in an object of the library: only a file that replaces another of its objects can cause it."""
    name = finding.resource.name
    return Problem(
        f"library {name}", 1, field_text(finding.path), finding.message, finding.remedy, finding.resource.ref
    )
