"""The tenant in whose pod a command runs. There the environment says what a state folder says elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wheeltapper_api.config import TablesConfig


@dataclass(frozen=True, slots=True)
class Pod:
    """How to reach what a tenant has; the variables are those of its workers, and two more.

    Parameters
    ----------
    tables
        Folder of the tables, which counts where ``place`` is None.
    place
        Where a tenant's policy says that the tables are.
    secrets
        Folder with a folder for each Secret.
    """

    tenant: str
    backbone: str
    credentials: Path
    tables: str
    place: TablesConfig | None
    secrets: Path

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Pod:
        """Read the environment of a process.

        Raises
        ------
        KeyError
            If a variable is missing; it is named.
        """
        place = environment.get("WHEELTAPPER_TABLES_PLACE")
        return cls(
            tenant=environment["WHEELTAPPER_TENANT"],
            backbone=environment["WHEELTAPPER_BACKBONE_URL"],
            credentials=Path(environment["WHEELTAPPER_BACKBONE_CREDENTIALS"]),
            tables=environment["WHEELTAPPER_TABLES"],
            place=TablesConfig.model_validate_json(place) if place else None,
            secrets=Path(environment["WHEELTAPPER_SECRETS"]),
        )


def here() -> Pod | None:
    """The pod this process runs in; None on a machine of one's own."""
    return Pod.read(os.environ) if "WHEELTAPPER_TENANT" in os.environ else None
