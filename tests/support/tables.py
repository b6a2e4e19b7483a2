"""Tables in a folder or in an object store, so that one test can be held against both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wheeltapper_api.config import Role, StoreConfig, TablesConfig, WorkerConfig
from wheeltapper_cli import places
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.tables import Store


@dataclass(frozen=True)
class Tables:
    """A place of tables."""

    store: Store
    place: TablesConfig | None = None
    """As a config document says it; None for a folder."""

    @property
    def root(self) -> str:
        return self.store.root

    @property
    def options(self) -> dict[str, str] | None:
        """For whatever takes ``storage_options``."""
        return self.store.storage_options

    def at(self, name: str) -> Tables:
        """Another place beside this one."""
        return Tables(replace(self.store, root=f"{self.root}-{name}"))

    def remembered(self, state: Path, tenant: str) -> Path:
        """State folder of an installation that knows that these are its tables; a folder of them has to lie in it."""
        store = StoreConfig(tenant=tenant, lines=[], commit_every_ns=1, commit_rows=1, place=self.place)
        places.remember(state, [WorkerConfig(worker="store", tenant=tenant, roles=[Role.STORE], store=store)])
        return state

    def historian(self, config: StoreConfig, **options: Any) -> Historian:
        return Historian(self.root, config, storage_options=self.options, **options)
