"""Helm as it is built here installs, changes and removes a chart, on the cluster as it is started here."""

from __future__ import annotations

import json

CHART = "apiVersion: v2\nname: small\nversion: 1.0.0\n"
TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: small}
data: {says: {{ .Values.says | quote }}}
"""


def test_chart_comes_changes_and_goes(cluster, helm, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(CHART)
    (tmp_path / "values.yaml").write_text("says: hello\n")
    (tmp_path / "templates" / "map.yaml").write_text(TEMPLATE)
    where = ["--namespace=charts", "--wait"]

    def says():
        return json.loads(cluster.kubectl("get", "configmap", "small", where[0], "--output=json"))["data"]["says"]

    helm("install", "small", tmp_path, "--create-namespace", *where)
    assert says() == "hello"
    helm("upgrade", "small", tmp_path, "--set=says=goodbye", *where)
    assert says() == "goodbye"
    helm("uninstall", "small", *where)
    assert "NotFound" in cluster.try_kubectl("get", "configmap", "small", where[0]).stderr
    cluster.kubectl("delete", "namespace", "charts", "--timeout=60s")
