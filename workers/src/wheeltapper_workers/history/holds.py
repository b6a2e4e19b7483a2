"""Evidence holds: alerts whose data stays until a person says otherwise, as small files beside the tables."""

from __future__ import annotations

import json
import re
from typing import Final

import pyarrow.fs as pafs

from wheeltapper_api.fields import NAME_PATTERN, Model
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.tables import Store

HOLDS: Final = "holds"
"""Folder of the files."""
_SUFFIX: Final = ".json"


class Hold(Model):
    """A hold on what is around an alert."""

    alert_id: str
    reason: str
    since: str
    """When it was placed, UTC."""


def place_hold(store: Store, tenant: str, hold: Hold) -> None:
    """Keep a hold; one that there is already is replaced."""
    with store.files(tenant, HOLDS).open_output_stream(_name(hold.alert_id)) as file:
        file.write(hold.model_dump_json().encode())


def release_hold(store: Store, tenant: str, alert_id: str) -> None:
    """Let go of a hold.

    Raises
    ------
    QueryError
        If there is none on this alert.
    """
    if alert_id not in {hold.alert_id for hold in holds(store, tenant)}:
        raise QueryError(f"There is no hold on {alert_id}; list them with wheeltapper evidence holds")
    store.files(tenant, HOLDS).delete_file(_name(alert_id))


def holds(store: Store, tenant: str) -> list[Hold]:
    """All holds, by alert.

    Raises
    ------
    QueryError
        If one cannot be read: then nothing may be deleted.
    """
    files = store.files(tenant, HOLDS)
    found = []
    for entry in files.get_file_info(pafs.FileSelector("", allow_not_found=True)):
        if entry.path.endswith(_SUFFIX):
            with files.open_input_stream(entry.path) as file:
                data = file.read()
            try:
                found.append(Hold.model_validate(json.loads(data)))
            except ValueError as error:
                raise QueryError(f"The hold {entry.path} cannot be read: {error}; place it again") from error
    return sorted(found, key=lambda hold: hold.alert_id)


def _name(alert_id: str) -> str:
    if not re.fullmatch(NAME_PATTERN, alert_id):
        raise QueryError(f"{alert_id!r} is no id of an alert")
    return f"{alert_id}{_SUFFIX}"
