"""Tables in a folder or in an object store, so that one test can be held against both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from wheeltapper_api.config import StoreConfig
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.tables import Store


@dataclass(frozen=True)
class Tables:
    """A place of tables."""

    store: Store

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

    def historian(self, config: StoreConfig, **options: Any) -> Historian:
        return Historian(self.root, config, storage_options=self.options, **options)
