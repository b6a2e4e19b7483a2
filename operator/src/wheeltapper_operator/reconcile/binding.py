"""A Plan's objects with the cluster's own values in place of symbols."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wheeltapper_api.plan import (
    SYMBOL_BACKBONE,
    SYMBOL_SECRETS,
    SYMBOL_STATE,
    SYMBOL_STORAGE_CLASS,
    SYMBOL_TABLES,
    SYMBOL_WORKER_IMAGE,
    SYMBOL_WORKER_PULL_POLICY,
)
from wheeltapper_operator.settings import Settings

_SYMBOL: Final = re.compile(r"\$\{[^}]*\}")


def symbols(settings: Settings) -> dict[str, str]:
    """What the symbols stand for in this cluster; nothing where the cluster's own default counts."""
    return {
        SYMBOL_BACKBONE: settings.backbone_url,
        SYMBOL_STATE: "/state",
        SYMBOL_TABLES: "/tables",
        SYMBOL_SECRETS: "/secrets",
        SYMBOL_WORKER_IMAGE: settings.worker_image,
        SYMBOL_WORKER_PULL_POLICY: settings.worker_pull_policy,
        SYMBOL_STORAGE_CLASS: settings.storage_class,
    }


def bound(value: Any, symbols: Mapping[str, str]) -> Any:
    """A value with its symbols replaced; a field that is bound to nothing is left out.

    Raises
    ------
    KeyError
        For a symbol that nobody binds.
    """
    if isinstance(value, str):
        return _SYMBOL.sub(lambda match: symbols[match[0]], value)
    if isinstance(value, Mapping):
        pairs = ((name, bound(entry, symbols), entry) for name, entry in value.items())
        return {name: new for name, new, entry in pairs if new != "" or entry == ""}
    if isinstance(value, list):
        return [bound(entry, symbols) for entry in value]
    return value


def pulled_with(obj: dict[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """A Deployment whose image is pulled with these Secrets of its namespace; any other object as it is."""
    if obj["kind"] != "Deployment" or not secrets:
        return obj
    spec, template = obj["spec"], obj["spec"]["template"]
    pod = template["spec"] | {"imagePullSecrets": [{"name": name} for name in secrets]}
    return obj | {"spec": spec | {"template": template | {"spec": pod}}}
