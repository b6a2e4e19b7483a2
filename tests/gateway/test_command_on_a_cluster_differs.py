"""``kubectl twin X`` says on a cluster what ``wheeltapper X`` says of a folder with the same data, word by word."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import load
from tests.gateway import pod
from tests.gateway.conftest import NAMESPACE, OTHER, SUBRESOURCES, allow, seeing
from tests.replay.conftest import the_alert
from wheeltapper_edge.substrates.processes.files import RunLock

__all__ = ["load"]

BIN = Path(sys.executable).parent
REACHING = [
    {"apiGroups": [""], "resources": ["services"], "resourceNames": ["gateway"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
]


@pytest.fixture(scope="module")
def tenant(tenancy, token, load, live, root, tmp_path_factory):
    """The kubeconfig of a reader of a tenant whose pod runs."""
    folder = tmp_path_factory.mktemp("tenant")
    image = load("workers")
    pod.load_nats(tenancy, folder)
    pod.deploy(tenancy, NAMESPACE, image)
    pod.fill(tenancy, NAMESPACE, live, root)
    allow(tenancy, "reader", [*REACHING, *seeing(*SUBRESOURCES)])
    return pod.kubeconfig(tenancy, folder / "kubeconfig", token("reader"), NAMESPACE)


@pytest.fixture(scope="module")
def state(root, nats, tmp_path_factory):
    """An installation on this machine with the same tables and streams."""
    folder = tmp_path_factory.mktemp("state")
    shutil.copytree(root, folder / "tables")
    (folder / "secrets").mkdir()
    shutil.copytree(nats.credentials, folder / "secrets" / "backbone-northwater")
    lock = RunLock(folder)
    lock.tell({"backbone": nats.url, "secrets": str(folder / "secrets"), "tenants": ["northwater"]})
    yield folder
    lock.release()


def run(program, *arguments, cwd=None, **environment):
    told = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(cwd or "/nonexistent"), "COLUMNS": "100"} | environment
    return subprocess.run(
        [program, *map(str, arguments)], cwd=cwd, env=told, capture_output=True, text=True, timeout=110, check=False
    )


def twin(tenant, *arguments, cwd=None):
    return run("kubectl-twin", *arguments, cwd=cwd, KUBECONFIG=str(tenant))


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "SELECT * FROM scores ORDER BY ALL LIMIT 20"],
        ["query", "SELECT nothing FROM raw"],
        ["get", "alerts", "--all", "--output", "json"],
        ["get", "twins", "--output", "json"],
        ["get", "workers", "--output", "json"],
        ["trace", "p-2"],
        ["replay", "p-2"],
        ["replay", "--twin", "p-2", "--from", "2026-01-01"],
        ["query", "SELECT 1", "--output", "xml"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_same_output_and_exit_code(tenant, state, arguments):
    options = [] if arguments[-1] == "xml" else ["--state", state]
    here, there = run("wheeltapper", *arguments, *options), twin(tenant, *arguments)
    assert there.returncode == here.returncode, there.stderr
    assert plain(there.stdout) == plain(here.stdout)
    assert plain(there.stderr).replace("kubectl twin", "wheeltapper") == plain(here.stderr).replace(
        str(state / "tables"), "/tables"
    )


def plain(text):
    """Without what is another time with every run."""
    return re.sub(r"in \d+\.\d s", "in 1 s", text)


def test_files_that_are_read_go_along(tenant, state, tmp_path):
    policy = "severity:\n- {name: watch, above: 50, hold: 15s}\nclear: {below: 1, hold: 15s}\n"
    (tmp_path / "policy.yaml").write_text(policy)
    (tmp_path / "wrong.yaml").write_text("severity: []\n")
    for name in ("policy.yaml", "wrong.yaml"):
        period = ["--from", "2020-01-01", "--to", "2030-01-01"]
        arguments = ["replay", "--twin", "p-2", *period, "--policy", name]
        here = run("wheeltapper", *arguments, "--state", state, cwd=tmp_path)
        there = twin(tenant, *arguments, cwd=tmp_path)
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)


def test_evidence_is_written_where_it_was_wanted(tenant, root, tmp_path):
    given = twin(tenant, "evidence", "p-2", "--to", tmp_path / "deep" / "p-2", "--context", "1m")
    assert given.returncode == 0, given.stderr
    assert f"in {tmp_path}/deep/p-2" in given.stdout
    assert run("wheeltapper", "evidence", "verify", tmp_path / "deep" / "p-2").returncode == 0
    named = twin(tenant, "evidence", "p-2", "--output", "json", cwd=tmp_path)
    folder = tmp_path / json.loads(named.stdout)["folder"]
    assert folder.name == f"evidence-{the_alert(root)}"
    assert run("kubectl-twin", "evidence", "verify", folder).returncode == 0, "it is checked here, without a cluster"
    again = twin(tenant, "evidence", "p-2", "--to", folder)
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_export_is_the_same_file(tenant, state, tmp_path):
    for program, options in (
        (lambda *a: run("wheeltapper", *a), ["--state", state]),
        (lambda *a: twin(tenant, *a), []),
    ):
        found = program(
            "export",
            "--format",
            "csv",
            "--table",
            "raw",
            "--table",
            "scores",
            "--to",
            tmp_path / f"all{len(options)}",
            *options,
        )
        assert found.returncode == 0, found.stderr
    here, there = tmp_path / "all2", tmp_path / "all0"
    assert sorted(path.name for path in here.iterdir()) == sorted(path.name for path in there.iterdir())
    assert (here / "raw.csv").read_bytes() == (there / "raw.csv").read_bytes()


def test_kubectl_finds_it(tenant):
    found = run("kubectl", "twin", "query", "SELECT 1 AS one", "--output", "json", KUBECONFIG=str(tenant))
    assert (found.stdout, found.stderr) == ('[{"one": 1}]\n', "")


def test_cluster_is_chosen_by_options_too(tenant):
    sql = ["query", "SELECT 1 AS one", "--output", "json"]
    for arguments in (["--kubeconfig", tenant, *sql], [*sql, "--kubeconfig", tenant, "-n", NAMESPACE]):
        found = run("wheeltapper", *arguments)
        assert (found.stdout, found.stderr) == ('[{"one": 1}]\n', "")


def test_who_has_a_client_certificate_comes_in_by_the_account_for_people(tenancy, tenant):
    found = run("kubectl-twin", "--kubeconfig", tenancy.kubeconfig, "-n", NAMESPACE, "get", "alerts")
    assert found.returncode == 0, found.stderr
    refused = run("kubectl-twin", "--kubeconfig", tenancy.kubeconfig, "-n", NAMESPACE, "audit", "list")
    assert refused.returncode == 2
    assert f"system:serviceaccount:{NAMESPACE}:wheeltapper-access may not get" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--kubeconfig", "/nowhere", "get", "alerts"], 2, "There is no kubeconfig /nowhere"),
        (["--context", "nothing", "get", "alerts"], 2, "has no context nothing; choose one with --context"),
        (["-n", OTHER, "get", "alerts"], 2, f"You may not get services/gateway in the namespace {OTHER}"),
        (["get", "alerts", "--state", "x"], 2, "--state is for an installation on this machine"),
        (["up", "x"], 2, "call it as wheeltapper up"),
        (["get", "alerts", "--context"], 2, "requires an argument"),
    ],
)
def test_mistakes_are_told(tenant, arguments, code, said):
    found = twin(tenant, *arguments)
    assert (found.returncode, found.stdout) == (code, "")
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_namespace_without_a_gateway_is_told_from_none(tenancy, tenant):
    admin = ["--kubeconfig", tenancy.kubeconfig, "get", "alerts", "-n"]
    assert f"The namespace {OTHER} has no gateway" in run("kubectl-twin", *admin, OTHER).stderr
    assert "There is no gateway in a namespace nowhere" in run("kubectl-twin", *admin, "nowhere").stderr


def test_without_a_kubeconfig_it_says_so():
    found = run("kubectl-twin", "get", "alerts")
    assert found.returncode == 2
    assert "Name a kubeconfig with --kubeconfig or KUBECONFIG" in found.stderr


def test_cluster_that_does_not_answer_is_told(tenant, tmp_path):
    gone = tmp_path / "kubeconfig"
    gone.write_text(re.sub(r"server: .*", "server: https://127.0.0.1:9", tenant.read_text()))
    found = twin(gone, "get", "alerts")
    assert found.returncode == 1
    assert "does not answer" in found.stderr
    assert "Traceback" not in found.stderr


def test_somebody_else_in_its_place_is_told(tenancy, tenant):
    """The certificate is that of the Service, whatever answers."""
    annotation = "wheeltapper.dev/gateway-certificate"
    service = json.loads(tenancy.kubectl("get", "service", "gateway", f"--namespace={NAMESPACE}", "--output=json"))
    before = service["metadata"]["annotations"][annotation]
    other = pod.certificate(bytes(32), NAMESPACE, pod.datetime(2026, 1, 1, tzinfo=pod.UTC)).certificate
    change = ["annotate", "service", "gateway", f"--namespace={NAMESPACE}", "--overwrite"]
    tenancy.kubectl(*change, f"{annotation}={other}")
    try:
        found = twin(tenant, "get", "alerts")
    finally:
        tenancy.kubectl(*change, f"{annotation}={before}")
    assert found.returncode == 1
    assert "is not the gateway" in found.stderr
