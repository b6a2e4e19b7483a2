"""A page of a kind tells of a field or a reason that is not there, keeps one back, or leads nowhere."""

from __future__ import annotations

import ast
import json
import re

import pytest
import yaml

from tests.support.station import ROOT
from wheeltapper_api import conditions
from wheeltapper_api.checks import check
from wheeltapper_api.conditions import CONDITIONS, EVENT, REASONS, STALLED, WORKER
from wheeltapper_api.fields import size_bytes
from wheeltapper_api.generate import kind_page_files
from wheeltapper_api.kind_fields import SORTS
from wheeltapper_api.kind_pages import FOLDER, example, page_of, shortened
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.library import with_library
from wheeltapper_api.load import load
from wheeltapper_api.reference import fields_of
from wheeltapper_operator.build import gateway
from wheeltapper_operator.build.secret import backbone_secret
from wheeltapper_operator.compile import compile_plan
from wheeltapper_operator.compile.placement import SPREAD_SAMPLES_PER_SECOND

KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
DOCS = ROOT / "docs"
SOURCES = [file for part in ("crds", "operator", "workers", "edge") for file in (ROOT / part / "src").rglob("*.py")]
EXPLAIN = {ROOT / "crds" / "src" / "wheeltapper_api" / name for name in ("conditions.py", "kind_pages.py")}
"""Modules that name a reason to explain it."""
CONSTANTS = {
    name: value
    for name, value in vars(conditions).items()
    if name[0].isupper() and isinstance(value, str) and name not in {"WORKER", "EVENT"}
}
SAYS = {"Verdict": 1, "Said": 2, "Finding": 2, "Trouble": 1, "News": 1}
"""What gives a reason, and at which place."""


@pytest.fixture(scope="module")
def texts():
    return {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "kinds").iterdir()}


def rows(text):
    """First cells of a page's tables, by the heading above them."""
    found, heading = {}, ""
    for line in text.split("\n"):
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("| `"):
            found.setdefault(heading, []).append(line.split("`")[1].replace("[]", ""))
    return found


def test_pages_are_what_the_models_give():
    wanted = kind_page_files(ROOT)
    assert {path: path.read_text(encoding="utf-8") for path in wanted} == wanted
    assert set((DOCS / "kinds").iterdir()) == set(wanted)


@KIND
def test_every_field_stands_on_one_page_once(kind, texts):
    shared = rows(texts["README.md"])["Fields of all kinds"]
    own = [path for paths in rows(texts[page_of(kind)]).values() for path in paths if "." in path]
    wanted = [path for path in fields_of(kind) if path not in {"", "spec", "status"}]
    assert sorted(own + shared) == sorted(wanted)


@KIND
def test_every_type_is_explained(kind, texts):
    table = texts[page_of(kind)].partition("## Fields")[2]
    sorts = {
        line.split(" | ")[1].partition("](")[0].lstrip("[") for line in table.split("\n") if line.startswith("| `")
    }
    plain = {sort.removeprefix("list of ").removesuffix("s") if sort.startswith("list of") else sort for sort in sorts}
    assert plain - {"value"} <= SORTS.keys()


@KIND
def test_example_is_of_a_file_and_valid(kind):
    lines = example(kind, ROOT / FOLDER)
    files = [set(file.read_text(encoding="utf-8").split("\n")) for file in (ROOT / FOLDER).glob("*.yaml")]
    assert any({line for line in lines if not line.lstrip().startswith("# and ")} <= there for there in files)
    kind.model_validate_json(json.dumps(yaml.safe_load("\n".join(lines))))
    assert len(lines) < 50


def test_shortened_list_says_how_much_is_left_out():
    text = "a:\n  - b: 1\n    c:\n      - x\n      - y\n  - b: 2\n  # of the third\n  - b: 3\n    c: 4\n  - b: 4\nd: 5"
    assert shortened(text.split("\n"), 1) == [
        *("a:", "  - b: 1", "    c:", "      - x", "      # and 1 more", "  # and 3 more", "d: 5")
    ]
    assert shortened(text.split("\n"), 9) == text.split("\n")


def test_every_constant_is_explained():
    assert set(CONSTANTS.values()) == CONDITIONS.keys() | REASONS.keys()


def test_what_is_used_is_explained_and_what_is_explained_is_used():
    used = {name for file in SOURCES if file not in EXPLAIN for name in constants_in(file)}
    assert used - {"REASONS"} == CONSTANTS.keys(), "but for the table itself, of which a message may take the remedy"


def constants_in(file):
    """Names of this module's constants that a file uses."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "wheeltapper_api.conditions":
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module == "wheeltapper_api":
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "conditions"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield node.attr


def test_no_reason_is_written_out():
    """One that is no constant would be on no page."""
    written = [f"{file}:{line}" for file in SOURCES for line in literal_reasons(file.read_text(encoding="utf-8"))]
    assert written == []
    assert list(literal_reasons('Verdict(\n"stalled", "Wrong", "")')) == [1]


def literal_reasons(code):
    """Lines of a module in which a reason is given as a text."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYS:
            at = SAYS[node.func.id]
            if len(node.args) > at and isinstance(node.args[at], ast.Constant):
                yield node.lineno


@KIND
def test_reasons_stand_below_their_condition(kind, texts):
    found = rows(texts[page_of(kind)])
    for condition in CONDITIONS:
        wanted = {name for name, reason in REASONS.items() if condition in reason.of.get(kind.__name__, ())}
        assert set(found.get(condition, [])) == wanted


def test_reasons_of_workers_and_events_stand_on_the_first_page(texts):
    found = rows(texts["README.md"])
    for name, reason in REASONS.items():
        assert f"- `{name}`: [" in texts["README.md"]
        assert all(name in found[condition] for condition in reason.of.get(WORKER, ()))
        assert name in found["Events"] or EVENT not in {one for kind in reason.of.values() for one in kind}


def test_everything_explained_says_what_to_do():
    for name, reason in REASONS.items():
        assert reason.of.keys() <= {*KINDS, WORKER}, name
        assert {one for kind in reason.of.values() for one in kind} <= {*CONDITIONS, EVENT}, name
        assert re.fullmatch(r"[A-Z`].*\.", reason.meaning), name
        assert re.fullmatch(r"[A-Z`].*\.", reason.remedy), name


def test_each_mistake_is_explained_for_the_kind_in_which_it_is_made():
    """Of every wrong example, and no reason without one; what is found in files alone, a second object, is left out."""
    made = set()
    for file in sorted((ROOT / "crds" / "examples" / "invalid").glob("*.yaml")):
        for finding in check(with_library(load([file]).resources)):
            if not finding.message.startswith("A second "):
                made.add((finding.reason, finding.resource.kind))
    from_checks = {finding_reason for finding_reason, _ in made}
    told = {
        (name, kind)
        for name, reason in REASONS.items()
        for kind, found in reason.of.items()
        if STALLED in found and name in from_checks
    }
    assert made == told


def test_page_on_kubernetes_names_what_is_made():
    text = (DOCS / "kubernetes.md").read_text(encoding="utf-8")
    (plan,) = compile_plan(load([ROOT / "examples" / "pump-station"]).resources).tenants
    made = [
        *plan.manifests,
        *gateway.accounts(plan.tenant, plan.namespace),
        backbone_secret(plan.tenant, plan.namespace, ""),
    ]
    names = {one["metadata"]["name"] for one in made if not one["metadata"]["name"].startswith("state-")}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
    assert f"{SPREAD_SAMPLES_PER_SECOND:,} samples a second" in text
    streams = sum(stream.max_bytes for stream in plan.streams) / size_bytes("20Gi")
    assert f"{streams:.0%}".replace("%", " %") in text


@pytest.mark.parametrize("page", ["kinds/*.md", "kubernetes.md"])
def test_links_lead_somewhere(page):
    for file in DOCS.glob(page):
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", file.read_text(encoding="utf-8")):
            path = (file.parent / target).resolve() if target else file
            assert path.exists(), f"{file.name}: {target}"
            assert not anchor or anchor in anchors(path), f"{file.name}: {target}#{anchor}"


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
