"""What the operator makes for a gateway has the rights and the room it needs, and no more."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime

import pytest

from wheeltapper_api.config import TablesConfig
from wheeltapper_cli.pod import Pod
from wheeltapper_operator.build import gateway
from wheeltapper_operator.build.gateway_certificate import certificate

PLACE = TablesConfig.model_validate(
    {"url": "s3://tables/northwater", "region": "eu", "endpoint": "https://s3", "secret": "s3"}
)


def environment(container):
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_its_token_is_not_the_workers():
    container = gateway.container("northwater", "northwater", "image", [])
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in gateway.volumes()}
    assert volumes.keys() <= mounted
    (token,) = (name for name, volume in volumes.items() if "projected" in volume)
    assert token in mounted
    accounts = [made for made in gateway.accounts("northwater", "northwater") if made["kind"] == "ServiceAccount"]
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


def test_it_writes_nothing_but_its_scratch():
    container = gateway.container("northwater", "northwater", "image", ["s3"], PLACE)
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 - a volume of its own
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_commands_find_the_tables_where_the_policy_has_them():
    for place in (None, PLACE):
        container = gateway.container("northwater", "water", "image", ["s3"], place)
        told = environment(container)
        assert Pod.read(told).place == place
        assert Pod.read(told).tenant == "northwater"
        assert told["WHEELTAPPER_NAMESPACE"] == "water"
        assert any(mount["mountPath"] == "/secrets/s3" for mount in container["volumeMounts"])
        assert any(mount["name"] == "tables" for mount in container["volumeMounts"]) == (place is None)


def test_people_are_bound_in_their_namespace_alone():
    bindings = {made["kind"]: made for made in gateway.accounts("northwater", "water") if "roleRef" in made}
    assert bindings["RoleBinding"]["roleRef"]["name"] == gateway.VIEWER_ROLE
    assert bindings["RoleBinding"]["metadata"]["namespace"] == "water"
    (subject,) = bindings["ClusterRoleBinding"]["subjects"]
    assert (subject["name"], subject["namespace"]) == (gateway.ACCOUNT, "water")
    assert "water" in bindings["ClusterRoleBinding"]["metadata"]["name"], "each tenant has one of its own"


def test_certificate_is_the_same_each_time_and_for_one_gateway(tmp_path):
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    pair = certificate(bytes(32), "northwater", issued)
    assert pair == certificate(bytes(32), "northwater", issued)
    others = [certificate(bytes([1] * 32), "northwater", issued), certificate(bytes(32), "other", issued)]
    assert len({pair.certificate, *(other.certificate for other in others)}) == 3
    (tmp_path / "crt").write_text(pair.certificate)
    (tmp_path / "key").write_text(others[0].key)
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tmp_path / "crt", tmp_path / "key")


def test_service_carries_the_certificate_and_no_key():
    pair = certificate(bytes(32), "northwater", datetime(2026, 1, 1, tzinfo=UTC))
    service = gateway.service("northwater", "northwater", "store", pair.certificate)
    assert service["metadata"]["annotations"] == {gateway.CERTIFICATE: pair.certificate}
    assert "PRIVATE" not in json.dumps(service)
    assert service["spec"]["selector"] == {"app.kubernetes.io/instance": "store"}
