"""A gateway that is not what it should be can write nothing but what was asked for, where it was asked for."""

from __future__ import annotations

import io

import pytest

from wheeltapper_cli.cluster.received import Received
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.gateway.frames import FrameError, Kind, frame, read_frame


def send(target, *names, default=""):
    with Received(target, default) as received:
        for name in names:
            received.begin(name)
            received.content(b"content")
        received.finish()


def test_folder_is_written_whole(tmp_path):
    send(tmp_path / "new" / "p-103", "p-103/index.html", "p-103/rows/raw/a.parquet")
    assert (tmp_path / "new" / "p-103" / "rows" / "raw" / "a.parquet").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["p-103"]


def test_file_comes_with_what_describes_it(tmp_path):
    send(tmp_path / "raw.csv", "raw.csv", "raw.datapackage.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw.csv", "raw.datapackage.json"]


def test_command_names_it_where_nobody_did(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    send(None, "evidence-p-103/index.html", default="evidence-")
    assert (tmp_path / "evidence-p-103" / "index.html").exists()


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "p-103/../../x", "p-103/./x", "p-103//x", "", ".", "..", "p-103/", "other/x", ".bashrc",
     "p-103\0/x", "p-103\\x", "c:p-103", "p-103/" + "x/" * 20 + "x", "p-103/" + "x" * 2000, "raw.csv"],
)  # fmt: skip
def test_other_names_are_refused(tmp_path, name):
    (tmp_path / "here").mkdir()
    with pytest.raises(FrameError, match="not asked for"):
        send(tmp_path / "here" / "p-103", name)
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_command_that_writes_nothing_is_sent_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FrameError):
        send(None, "evidence-x/y")
    assert list(tmp_path.iterdir()) == []


def test_same_file_twice_is_refused(tmp_path):
    with pytest.raises(FileExistsError):
        send(tmp_path / "p", "p/x", "p/x")
    assert list(tmp_path.iterdir()) == []


def test_what_is_cut_off_leaves_nothing(tmp_path):
    def cut_off():
        with Received(tmp_path / "p", "") as received:
            received.begin("p/x")
            received.content(b"half")
            raise FrameError("cut off")

    with pytest.raises(FrameError):
        cut_off()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("kept", "full", "link"):
        with pytest.raises(InvalidInputError, match="is there already"):
            send(tmp_path / name, name)
    (tmp_path / "raw.datapackage.json").write_text("mine")
    with pytest.raises(InvalidInputError, match="is there already"):
        send(tmp_path / "raw.csv", "raw.csv", "raw.datapackage.json")
    assert (tmp_path / "kept").read_text() == (tmp_path / "raw.datapackage.json").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    send(tmp_path / "empty", "empty/x")
    assert (tmp_path / "empty" / "x").exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"\1\0", frame(Kind.OUT, b"abc")[:-1], b"\x09\0\0\0\0", b"\1\xff\xff\xff\xff" + bytes(100), b"HTTP/1.1 200"],
)
def test_answer_that_is_none_is_refused(data):
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(data).read)
