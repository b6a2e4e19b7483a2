"""Versions of the parts that decide the bits of a feature or a score; every lineage carries them."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

import numpy as np


def _cpu_level() -> str:
    """Machine and the highest vector extensions NumPy found on it."""
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})
    found = [*extensions.get("baseline", []), *extensions.get("found", [])]
    return f"{platform.machine()}/{found[-1] if found else 'baseline'}"


SOFTWARE: Final[dict[str, str]] = {
    "wheeltapper": version("wheeltapper"),
    "numpy": version("numpy"),
    "onnxruntime": version("onnxruntime"),
    "cpu": _cpu_level(),
}
