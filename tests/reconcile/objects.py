"""Objects as the API server gives them."""

from __future__ import annotations

import itertools
from pathlib import Path

from ruamel.yaml import YAML

from wheeltapper_operator.inventory import Seen

STATION = Path(__file__).parents[2] / "examples" / "pump-station"
_versions = itertools.count(1000)


def station() -> list[dict]:
    return [d for f in sorted(STATION.glob("*.yaml")) for d in YAML(typ="safe").load_all(f.read_text())]


def served(document: dict, *, uid: str = "", version: int = 0, generation: int = 1, **metadata) -> dict:
    """A document with what the API server adds."""
    own = document["metadata"]
    added = {
        "uid": uid or f"{document['kind']}-{own['name']}",
        "resourceVersion": str(version or next(_versions)),
        "generation": generation,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    }
    return document | {"metadata": own | added | metadata}


def twin(name: str = "p-101", namespace: str = "northwater", **spec) -> dict:
    spec = {"class": "centrifugal-pump", "plant": "riverside", "tag": name.upper()} | spec
    return {
        "apiVersion": "wheeltapper.dev/v1alpha1",
        "kind": "AssetTwin",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def seen_in(inventory, kind: str, name: str) -> Seen:
    (found,) = [one for one in inventory.of(kind) if one.key.name == name]
    return found
