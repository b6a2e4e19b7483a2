"""Access to a cluster, whichever it is: its kubeconfig, kubectl, and the Python client."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes


class Access:
    """What a test needs of a cluster that runs somewhere."""

    def __init__(self, kubeconfig: Path, kubectl: Path | str = "kubectl") -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = str(kubectl)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of kubectl.

        Raises
        ------
        AssertionError
            When it fails; it says what kubectl said.
        """
        done = self.try_kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)} failed: {done.stderr}"
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """What kubectl said, whether it failed or not."""
        command = [self._kubectl, f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=110, check=False)

    def apply(self, *documents: dict[str, Any]) -> str:
        """Apply objects as a person would, with strict validation of their fields."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        return self.kubectl("apply", "--server-side", "--filename=-", stdin=text)

    def api(self) -> kubernetes.client.ApiClient:
        """Client of the API server, to be closed by the caller (``with``)."""
        return kubernetes.config.new_client_from_config(str(self.kubeconfig))
