"""A changed model under an old version, a class without a page, a wheel without the files: all go unseen."""

from __future__ import annotations

import dataclasses
import zipfile

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.support.station import ROOT
from wheeltapper_api.generate import library_files
from wheeltapper_api.kinds import AssetClass
from wheeltapper_api.library import Entry, class_of, entries
from wheeltapper_api.library_pages import pages
from wheeltapper_api.library_versions import checksums, refused


def changed(entry: Entry, *, version: str | None = None, title: str | None = None) -> Entry:
    """An entry with another version, and with another title of its class."""
    spec = dict(entry.content["spec"])
    spec |= {"version": version} if version else {}
    spec |= {"title": title} if title else {}
    content = entry.content | {"spec": spec}
    return dataclasses.replace(entry, content=content, resource=type(entry.resource).model_validate(content))


@pytest.fixture
def fan():
    return next(entry for entry in entries() if entry.path == "fan/class.yaml")


def test_pages_and_checksums_are_what_the_library_gives():
    wanted, wrong = library_files(ROOT)
    assert wrong == []
    assert {path: path.read_text(encoding="utf-8") for path in wanted} == wanted
    assert set((ROOT / "docs" / "classes").iterdir()) == {path for path in wanted if path.suffix == ".md"}


def test_every_class_and_model_has_its_place_on_a_page():
    texts = pages(entries())
    assert set(texts) == {f"{class_of(entry.resource)}.md" for entry in entries()} | {"README.md"}
    for entry in entries():
        text = texts[f"{class_of(entry.resource)}.md"]
        spec = entry.resource.spec
        if isinstance(entry.resource, AssetClass):
            names = [*spec.signals, *spec.pipeline.features, *spec.modes]
            assert all(f"`{item.name}`" in text for item in names)
            assert f"({entry.resource.name}.md)" in texts["README.md"]
        else:
            assert f'<a id="{entry.resource.name}"></a>' in text
            assert f"({spec.asset_class}.md#{entry.resource.name})" in texts["README.md"]
            for part in [*spec.sources, *spec.action.runbook.inspect, *spec.action.runbook.capture]:
                assert part in text


def test_changed_spec_wants_a_new_version(fan):
    before = checksums([fan])
    assert refused(before, [fan]) == []
    (message,) = refused(before, [changed(fan, title="Blower")])
    assert message == "library/fan/class.yaml: spec.version: The spec has changed since 1.0.0; raise the version"
    assert refused(before, [changed(fan, version="1.0.1", title="Blower")]) == []


def test_version_may_not_go_back(fan):
    before = checksums([changed(fan, version="1.10.0")])
    assert refused(before, [changed(fan, version="1.11.0")]) == []
    (message,) = refused(before, [changed(fan, version="1.9.0")])
    assert "1.9.0 is older than 1.10.0" in message


def test_new_object_and_removed_object_are_no_matter(fan):
    assert refused("", [fan]) == []
    assert refused(checksums(entries()), [fan]) == []


def test_wheel_has_every_file(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"wheeltapper_api/library/{entry.path}" for entry in entries()} <= names
    assert {"wheeltapper_api/library.py", "wheeltapper_api/library/CHECKSUMS"} <= names
