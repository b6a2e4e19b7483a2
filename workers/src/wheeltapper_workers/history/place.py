"""Where a tenant's tables are: the installation's folder, or an object store whose keys are in a Secret.

A Secret is a folder with a file a key, as Kubernetes mounts one. It is read anew with every :func:`open_place`, so a
key that was changed counts from the next try on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from wheeltapper_api.config import TablesConfig
from wheeltapper_workers.history.tables import Store

_KEYS: Final = {"accessKeyId": "aws_access_key_id", "secretAccessKey": "aws_secret_access_key"}
_SESSION: Final = "sessionToken"
_AUTHORITY: Final = "ca"
# A commit is tried again for ever, so a single try may be short: its thread cannot be interrupted meanwhile.
_PATIENCE: Final = {"max_retries": "3", "retry_timeout": "15s", "connect_timeout": "5s", "timeout": "60s"}


class PlaceError(Exception):
    """The tables cannot be opened with what is known of them; the message says what to do."""


def open_place(tables: str, place: TablesConfig | None, secrets: Path) -> Store:
    """Store of a tenant's tables.

    Parameters
    ----------
    tables
        Folder or URL of the installation's tables, which counts where the tenant has no place of its own.
    secrets
        Folder with a folder for each Secret.

    Raises
    ------
    PlaceError
        If the Secret or one of its keys is missing.
    """
    if place is None:
        return Store(tables)
    options = {"aws_region": place.region, **_PATIENCE}
    # Two writers may never both make the same version of a table: the second is refused by the server itself.
    options["aws_conditional_put"] = "etag"
    if place.endpoint is not None:
        options["aws_endpoint_url"] = place.endpoint
        options["aws_allow_http"] = str(place.endpoint.startswith("http://")).lower()
    if place.secret is not None:
        options |= _keys(place.secret, secrets / place.secret)
    return Store(place.url, options)


def _keys(name: str, secret: Path) -> dict[str, str]:
    found = {option: _read(secret, key) for key, option in _KEYS.items()}
    missing = [key for key, option in _KEYS.items() if not found[option]]
    if missing:
        raise PlaceError(f"The Secret {name} has no {' and no '.join(missing)}; add it, and the tables are opened then")
    if token := _read(secret, _SESSION):
        found["aws_session_token"] = token
    if _read(secret, _AUTHORITY):
        # The library takes no certificate in its options; this variable it reads whenever it opens a store.
        os.environ["SSL_CERT_FILE"] = str(secret / _AUTHORITY)
    return found


def _read(secret: Path, key: str) -> str:
    try:
        return (secret / key).read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise PlaceError(
            f"The Secret {secret.name} cannot be read ({key}: {error.strerror}); give the worker access"
        ) from error
