"""A file that is too large, in another encoding, broken, or no file at all is a problem with its line, no more."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from wheeltapper_api import documents
from wheeltapper_api.load import load
from wheeltapper_api.validate import validate

INVALID = Path(__file__).parents[2] / "crds" / "examples" / "invalid"
SOURCE = (INVALID / "bad-enum.yaml").read_text()
TENANT = "apiVersion: wheeltapper.dev/v1alpha1\nkind: TenantPolicy\nmetadata: {name: %s}\n"


def written(tmp_path, content, name="file.yaml"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines_of(path):
    return [(problem.line, problem.field, problem.message) for problem in load([path]).problems]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old"])
def test_line_numbers_are_right_whatever_the_line_ends(tmp_path, ending):
    path = written(tmp_path, SOURCE.replace("\n", ending))
    (problem,) = validate([path])
    assert (problem.line, problem.column, problem.field) == (30, 3, "spec.hosting")


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_broken_document_leaves_the_others_of_its_file(tmp_path, ending):
    parts = [TENANT % "a", TENANT % "b" + "spec: [1\n", TENANT % "c" + "spec: {limts: {}}\n", 'x: "\n', TENANT % "d"]
    loaded = load([written(tmp_path, "---\n".join(parts).replace("\n", ending))])
    assert [resource.name for resource in loaded.resources] == ["a", "d"]
    assert [(problem.line, problem.field) for problem in loaded.problems] == [(8, ""), (13, "spec.limts"), (15, "")]


def test_documents_are_found_however_they_begin(tmp_path):
    text = (
        "# A file of the station\n\n---\n# Nothing but a remark\n--- # the first\n"
        + TENANT % "a"
        + "...\n%YAML 1.1\n# of old\n---\n"
        + TENANT % "b"
        + "--- {apiVersion: wheeltapper.dev/v1alpha1, kind: TenantPolicy, metadata: {name: c}}\n---\n---\n"
        + TENANT % "d"
        + "spec:\n  title: |\n    Line\n     ---\n    of dashes\n  nothing: 1\n"
    )
    loaded = load([written(tmp_path, text)])
    assert [resource.name for resource in loaded.resources] == ["a", "b", "c"]
    assert [problem.line for problem in loaded.problems] == [text.split("\n").index("  nothing: 1") + 1]


def test_lines_are_right_behind_letters_of_two_bytes(tmp_path):
    path = written(
        tmp_path, (TENANT % "a") + "# ü ö ä é\nspec: {title: Größe}\n---\n" + TENANT % "b" + "# é\nx: \x07\n"
    )
    ((line, _, message),) = lines_of(path)
    assert (line, message) == (11, "The control character U+0007 stands here")


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (SOURCE.encode("utf-16"), 1, "UTF-16"),
        (SOURCE.encode("utf-16-le"), 1, "UTF-16"),
        (SOURCE.encode("utf-32"), 1, "UTF-32"),
        ("a: 1\nb: Größe\n".encode("latin-1"), 2, "0xF6, ö in Latin-1"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1, "binary"),
        (b"\x1f\x8b\x08\x00rest", 1, "binary"),
        (b"a: 1\0", 1, "binary"),
        (b"a: [1\n", 1, "bracket"),
        (b"a: \xc3\n", 1, "0xC3"),
    ],
    ids=["utf-16", "utf-16 without mark", "utf-32", "latin-1", "picture", "gzip", "nul", "bracket", "half a letter"],
)
def test_what_it_is_instead_is_said(tmp_path, content, line, words):
    ((found, _, message),) = lines_of(written(tmp_path, content))
    assert found == line
    assert words in message


@pytest.mark.parametrize("name", ["file.yaml", "file.json"])
def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path, name):
    text = json.dumps(
        {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": {"name": "a"}}, indent=2
    )
    path = written(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), name)
    assert [resource.name for resource in load([path]).resources] == ["a"]


def bomb():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(c)}: &{chr(c)} [{', '.join([f'*{chr(c - 1)}'] * 9)}]" for c in range(ord("b"), ord("k"))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: " + "[" * 100_000, "More than 64 levels"),
        ("".join(f"{' ' * n}a:\n" for n in range(200)), "More than 64 levels"),
        (bomb(), "Aliases repeat more than"),
        ("a: &a [*a]", "stands for nothing"),
        ("x: " + "y" * (10 * 2**20), "Kubernetes stores no more than 1.5 MiB"),
        ("x: 1\n" * 2_000_000, "Kubernetes stores no more than 1.5 MiB"),
        ("kind: !!python/object/apply:os.system [id]\n", "not supported"),
        ("- just\n- a list\n", "not a mapping"),
        ("just a text\n", "not a mapping"),
        ("---\na: [\n" * 200_000, "More than 50 documents are broken"),
        ("%\n" * 300_000 + "---\n", ""),
    ],
    ids=["deep", "deep blocks", "bomb", "ring", "10 MB", "lines", "python", "list", "text", "broken", "directives"],
)
def test_hostile_files_are_problems_and_nothing_more(tmp_path, content, words):
    path = written(tmp_path, content)
    problems = load([path]).problems
    assert words in problems[-1].message
    assert len(problems) <= 51


def test_a_file_beyond_all_measure_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole, no blocks
    ((_, _, message),) = lines_of(path)
    assert message == "The file is larger than 64 MiB"


def test_ten_megabytes_of_good_documents_are_fine(tmp_path):
    title = "x" * 110
    text = "---\n".join((TENANT % f"t-{n}") + f"# {title * 80}\nspec: {{title: {title}}}\n" for n in range(1200))
    assert len(text) > 10 * 10**6
    loaded = load([written(tmp_path, text)])
    assert (len(loaded.resources), loaded.problems) == (1200, [])


def test_a_list_is_as_long_as_it_likes(tmp_path):
    items = [
        {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": {"name": f"t-{n}"}, "spec": {}}
        for n in range(12_000)
    ]
    items[-1]["spec"] = {"limts": {}}
    text = json.dumps({"apiVersion": "v1", "items": items, "kind": "List"}, indent=1)
    assert len(text) > documents.MAX_DOCUMENT
    loaded = load([written(tmp_path, text, "list.json")])
    assert len(loaded.resources) == 11_999
    (problem,) = loaded.problems
    assert text.split("\n")[problem.line - 1].strip().startswith('"limts"')


def test_a_list_of_one_kind_says_it_once(tmp_path):
    items = [{"metadata": {"name": "a"}, "spec": {}}, {"metadata": {"name": "B"}}, 5]
    document = {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicyList", "metadata": {}, "items": items}
    loaded = load([written(tmp_path, json.dumps(document, indent=1))])
    assert [resource.name for resource in loaded.resources] == ["a"]
    assert [problem.field for problem in loaded.problems] == ["metadata.name", ""]


@pytest.mark.parametrize("kind", ["List", "AssetTwinList"])
def test_a_list_without_items_is_a_problem(tmp_path, kind):
    text = f"apiVersion: wheeltapper.dev/v1alpha1\nkind: {kind}\nitems: {{}}\n"
    assert [message for *_, message in lines_of(written(tmp_path, text))] == [f"The {kind} has no list of items"]


def test_values_of_a_chart_beside_the_files_are_passed_over(tmp_path):
    written(tmp_path, "replicas: 2\nimage: {tag: v1}\non: [push]\n", "values.yaml")
    written(tmp_path, "", "empty.yaml")
    written(tmp_path, "# only a remark\n", "remark.yaml")
    loaded = load([tmp_path])
    assert (loaded.resources, loaded.problems, loaded.files) == ((), [], 3)


def test_words_that_kubectl_misreads_matter_in_our_objects_only(tmp_path):
    other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {x: yes}}\ndata: {on: off}\n"
    ours = TENANT % "a" + "spec: {title: NO}\n"
    loaded = load([written(tmp_path, other + "---\n" + ours)])
    ((line, field),) = [(problem.line, problem.field) for problem in loaded.problems]
    assert (line, field) == (9, "spec.title")
    quoted = ours.replace("NO", '"NO"')
    assert load([written(tmp_path, other + "---\n" + quoted)]).problems == []


def test_anchors_and_merge_keys_of_a_careful_person_are_fine(tmp_path):
    text = (
        TENANT % "a"
        + "spec:\n  retention: {raw: &long 9d, events: *long}\n  limits: {<<: {twins: 5}}\n---\n"
        + TENANT % "b"
        + "spec: {limits: {<<: {twins: 6}, twins: 7}}\n"
    )
    loaded = load([written(tmp_path, text)])
    assert loaded.problems == []
    assert [resource.spec.limits.twins for resource in loaded.resources] == [5, 7]


def test_a_folder_is_searched_through_links_but_not_in_circles(tmp_path):
    inner, outer = tmp_path / "plants" / "inner", tmp_path / "shared"
    inner.mkdir(parents=True)
    outer.mkdir()
    written(inner, TENANT % "a")
    written(outer, TENANT % "b", "other.yml")
    (inner / "up").symlink_to(tmp_path / "plants")
    (inner / "shared").symlink_to(outer)
    (inner / "again.yaml").symlink_to(inner / "file.yaml")
    os.mkfifo(inner / "pipe.yaml")
    loaded = load([tmp_path / "plants"])
    assert sorted(resource.name for resource in loaded.resources) == ["a", "b"]
    assert loaded.problems == []


@pytest.mark.parametrize("named", [True, False], ids=["named", "in a folder"])
def test_links_that_lead_nowhere_are_said(tmp_path, named):
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    paths = [tmp_path / "gone.yaml", tmp_path / "loop.yaml"] if named else [tmp_path]
    messages = [problem.message for problem in load(paths).problems]
    assert len(messages) == 2
    assert "No such file" in messages[0]
    assert "symbolic links" in messages[1]


def test_a_file_that_is_not_there_is_a_problem_of_its_own(tmp_path):
    (problem,) = load([tmp_path / "nothing.yaml"]).problems
    assert str(problem).endswith(
        "nothing.yaml:1: The file cannot be read: No such file or directory; check its name and folder"
    )


def test_what_may_not_be_read_is_said(tmp_path, monkeypatch):
    path = written(tmp_path, TENANT % "a")

    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    (problem,) = load([path]).problems
    assert "Permission denied; give this user the permission" in str(problem)


def test_a_folder_that_may_not_be_listed_is_said(tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    written(tmp_path, TENANT % "a")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    loaded = load([tmp_path])
    assert [resource.name for resource in loaded.resources] == ["a"]
    (problem,) = loaded.problems
    assert problem.file.endswith("secret")


def test_standard_input_is_read_and_named(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((TENANT % "A").encode())))
    (problem,) = load([Path("-")]).problems
    assert str(problem).startswith("<stdin>:3: metadata.name: A is not a name")
