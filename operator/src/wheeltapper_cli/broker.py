"""The MQTT broker of the demo's second hall: a NATS server of its own, with a user, a password and sessions that last.

The server is installed anyway, for the backbone. As a broker it speaks MQTT 3.1.1, keeps what a collector that is away
has not seen, through restarts of its own, too, and sends again what was not acknowledged.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wheeltapper_edge.backbone import binary
from wheeltapper_edge.private import write_private, write_secret

USER: Final = "pump-station"
_KEPT_BYTES: Final = 512 * 2**20
"""Messages kept on the disk for a collector that is away."""
_IN_FLIGHT: Final = 512
"""Messages without their acknowledgement, a topic: the server has 65,535 for all topics of a session together."""


def command(state: Path, url: str, secret: str) -> list[str]:
    """Command of the broker, its config and the Secret for its clients written.

    Parameters
    ----------
    state : Path
        Folder of the installation; the broker has ``broker`` in it, the Secret is among ``secrets``.
    url : str
        Where it listens, such as ``mqtt://127.0.0.1:48401``.
    secret : str
        Name of the Secret: a folder with ``username`` and ``password``.
    """
    known = state / "secrets" / secret / "password"
    password = known.read_text(encoding="utf-8") if known.is_file() else secrets.token_urlsafe(24)
    write_secret(state / "secrets", secret, {"username": USER, "password": password})
    address = urlsplit(url)
    config = {
        "listen": "127.0.0.1:-1",  # any port: nobody speaks NATS to it
        "server_name": "hall-broker",
        "jetstream": {"store_dir": str(state / "broker" / "store"), "max_file_store": _KEPT_BYTES},
        # What was not acknowledged comes again after this time, or at once over a new connection.
        "mqtt": {"listen": f"{address.hostname}:{address.port}", "ack_wait": "5s", "max_ack_pending": _IN_FLIGHT},
        "accounts": {"plant": {"jetstream": "enabled", "users": [{"user": USER, "password": password}]}},
    }
    path = state / "broker" / "nats.conf"
    write_private(path, json.dumps(config, indent=2))
    return [binary(), "-c", str(path)]
