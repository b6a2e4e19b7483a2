"""Where the tables of an installation are, running or stopped: in its state folder, or where a tenant's policy says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wheeltapper_api.config import TablesConfig, WorkerConfig
from wheeltapper_cli import pod
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_edge.private import write_private
from wheeltapper_workers.history.place import PlaceError, open_place
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.store_words import STORAGE_ERRORS, said
from wheeltapper_workers.history.tables import Store

_FILE: Final = "tables.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Tables of one tenant; ``options`` are those of the storage, None for a folder."""

    tenant: str
    root: str
    options: Mapping[str, str] | None

    @property
    def store(self) -> Store:
        """The tables, to be opened."""
        return Store(self.root, self.options)


def remember(state: Path, configs: Iterable[WorkerConfig]) -> None:
    """Write down where each tenant's tables are, for commands that come when nothing runs. No key is among it."""
    stores = [config.store for config in configs if config.store is not None]
    told = {store.tenant: store.place.model_dump() if store.place else None for store in stores}
    write_private(state / _FILE, json.dumps(told))


def tenants(state: Path) -> list[str]:
    """Tenants of an installation; in a pod the one of the pod.

    Raises
    ------
    InvalidInputError
        If there is no installation in the folder.
    """
    if (own := pod.here()) is not None:
        return [own.tenant]
    folder = state / "tables"
    stored = {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
    found = sorted(stored | set(_remembered(state)))
    if not found:
        raise InvalidInputError(f"There are no tables in {state}; start with wheeltapper up, or name it with --state")
    return found


def place(state: Path, tenant: str | None = None) -> Place:
    """Tables of a tenant; of the only one, where none is named.

    Raises
    ------
    InvalidInputError
        If there is none, or more than one to choose from, or a key is missing.
    """
    known = tenants(state)
    if tenant is None and len(known) != 1:
        raise InvalidInputError(f"There are several tenants ({', '.join(known)}); choose one with --tenant")
    tenant = tenant or known[0]
    try:
        if (own := pod.here()) is not None:
            store = open_place(own.tables, own.place, own.secrets)
        else:
            store = open_place(str(state / "tables"), _remembered(state).get(tenant), state / "secrets")
    except PlaceError as error:
        raise InvalidInputError(str(error)) from error
    return Place(tenant, store.root, store.options)


@contextmanager
def explained(tried: str = "Cannot read the tables", remedy: str = "") -> Iterator[None]:
    """A question that cannot be answered, and storage that cannot be reached, end the command in words.

    Parameters
    ----------
    tried
        What does not work then.
    remedy
        What to do, beside what the storage's own words ask for.
    """
    try:
        yield
    except QueryError as error:
        raise InvalidInputError(str(error)) from error
    except STORAGE_ERRORS as error:
        raise CommandError(f"{tried}: {said(error)}{remedy}") from error


def _remembered(state: Path) -> dict[str, TablesConfig | None]:
    try:
        told = json.loads((state / _FILE).read_text())
    except FileNotFoundError:
        return {}
    return {tenant: TablesConfig.model_validate(found) if found else None for tenant, found in told.items()}
