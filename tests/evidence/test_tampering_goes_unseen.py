"""A folder of evidence in which something was changed: it is found, and the right file is named."""

from __future__ import annotations

import json

import pytest

from tests.evidence.conftest import export
from wheeltapper_workers.history.evidence_check import verify_evidence
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.sealed import broken, seal


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_byte_of_any_file_anywhere(folder):
    """Flipped at the beginning, in the middle and at the end of every file, one after the other."""
    assert len(files(folder)) >= 15
    for path in files(folder):
        data = path.read_bytes()
        for place in (0, len(data) // 2, len(data) - 1):
            changed = bytearray(data)
            changed[place] ^= 1
            path.write_bytes(changed)
            found = [one.file for one in broken(folder)]
            assert found == [path.relative_to(folder).as_posix()], (path, place)
        path.write_bytes(data)
    assert broken(folder) == []


def test_changed_folder_is_not_computed(folder):
    path = folder / "rows" / "scores.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    found = verify_evidence(folder)
    assert not found.sound
    assert found.replay is None
    assert found.broken == ["rows/scores.parquet: was changed"]


def test_file_that_is_gone_or_new(folder):
    (folder / "documents" / "policy.json").unlink()
    (folder / "rows" / "more.parquet").write_bytes(b"PAR1")
    assert verify_evidence(folder).broken == [
        "documents/policy.json: is missing",
        "rows/more.parquet: was added",
    ]


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_list_that_is_gone(folder, name):
    (folder / name).unlink()
    assert verify_evidence(folder).broken == [f"{name}: is missing"]


def test_everything_written_anew_has_another_fingerprint(root, folder):
    """Whoever writes both lists anew cannot write the number that was noted elsewhere."""
    before = json.loads((folder / "manifest.json").read_text())
    document = folder / "documents" / "twin.json"
    document.write_text(document.read_text().replace("P-2", "P-3"))
    said = {name: value for name, value in before.items() if name not in ("files", "fingerprint")}
    seal(folder, said)
    assert verify_evidence(folder).sound, "nothing in the folder itself can tell"
    found = verify_evidence(folder, fingerprint=before["fingerprint"])
    assert not found.sound
    assert before["fingerprint"] in found.broken[0]


def test_path_that_leads_out_of_the_folder(folder):
    outside = folder.parent / "secret"
    outside.write_text("secret")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../secret"] = {"sha256": "0" * 64, "bytes": 6}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert [one.file for one in broken(folder)] == ["manifest.json"]


def test_states_that_were_taken_away_with_new_lists(root, folder):
    for path in (folder / "states").iterdir():
        path.unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    seal(folder, {name: value for name, value in manifest.items() if name not in ("files", "fingerprint")})
    with pytest.raises(QueryError, match="without states"):
        verify_evidence(folder)


def test_folder_that_is_no_evidence(tmp_path):
    with pytest.raises(QueryError, match="name a folder that wheeltapper evidence has written"):
        verify_evidence(tmp_path)
    (tmp_path / "letter").write_text("dear")
    seal(tmp_path, {"layout": "something-else/1"})
    with pytest.raises(QueryError, match="is of the layout something-else/1"):
        verify_evidence(tmp_path)


def test_same_tables_give_the_same_rows(root, written, tmp_path):
    export(root, tmp_path / "again")
    for path in files(tmp_path / "again" / "rows"):
        assert path.read_bytes() == (written / "rows" / path.name).read_bytes(), path.name
