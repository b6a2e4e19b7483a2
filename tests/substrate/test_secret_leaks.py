"""Secrets reach nobody but their owner, and a worker gets no more of the environment than it needs."""

from __future__ import annotations

import json
import stat

from tests.support.waiting import until
from wheeltapper_edge.backbone import Backbone
from wheeltapper_edge.private import write_private, write_secret


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secret_is_only_for_its_owner(tmp_path):
    write_secret(tmp_path / "secrets", "scada", {"username": "reader", "password": "p"})
    assert mode(tmp_path / "secrets") == mode(tmp_path / "secrets" / "scada") == 0o700
    assert mode(tmp_path / "secrets" / "scada" / "password") == 0o600
    assert (tmp_path / "secrets" / "scada" / "username").read_text() == "reader"


def test_folder_and_left_over_that_others_can_read_are_closed(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    (folder / "scada").mkdir(mode=0o755)
    for name in ("password", ".password.new"):
        (folder / "scada" / name).write_text("old")
        (folder / "scada" / name).chmod(0o644)
    write_secret(folder, "scada", {"password": "new"})
    assert mode(folder) == mode(folder / "scada") == 0o700
    assert mode(folder / "scada" / "password") == 0o600
    assert [path.name for path in (folder / "scada").iterdir()] == ["password"]


def test_replaced_file_is_whole(tmp_path):
    write_private(tmp_path / "file", "long" * 1000)
    write_private(tmp_path / "file", "short")
    assert (tmp_path / "file").read_text() == "short"


def test_backbone_keeps_passwords_from_others_and_from_its_command_line(tmp_path):
    backbone = Backbone(tmp_path, ["northwater"])
    command = backbone.command()
    password = backbone.credentials("northwater")["password"]
    assert mode(tmp_path / "nats.conf") == mode(tmp_path / "passwords.json") == 0o600
    assert password not in repr(command)
    assert len(password) >= 32


async def test_environment_of_the_parent_stays_with_the_parent(bench, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "only-for-this-test")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    script = "import json, os, signal; print(json.dumps(dict(os.environ)), flush=True); signal.pause()"
    await bench.supervisor.apply([bench.command("worker", script, env=(("OWN", "value"),))])
    await until(lambda: bench.said("worker"), 10)
    environment = json.loads(bench.said("worker")[0])
    assert set(environment) <= {
        "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONUNBUFFERED",
        "OTEL_EXPORTER_OTLP_ENDPOINT", "OWN",
    }  # fmt: skip
    assert environment["OWN"] == "value"
