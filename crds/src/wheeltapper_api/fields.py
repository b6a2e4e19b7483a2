"""Field types shared by the kinds and the wire contracts: names, durations, units, bounded texts and lists."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP: Final = "wheeltapper.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
LIBRARY_NAMESPACE: Final = "wheeltapper-library"

# A DNS-1123 label: safe as a Kubernetes name, a NATS subject token, a folder and a table key, with nothing to escape.
NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DURATION_PATTERN: Final = r"^[0-9]{1,6}(ms|s|m|h|d)$"
VERSION_PATTERN: Final = r"^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}$"
DATE_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
SIZE_PATTERN: Final = r"^[0-9]{1,6}(Ki|Mi|Gi|Ti)$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, min_length=1, max_length=63)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Unit = Annotated[str, StringConstraints(min_length=1, max_length=32)]
# Longer than the patterns allow: of a text that is too long the API server says only that, not what would be right.
Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
Size = Annotated[str, StringConstraints(pattern=SIZE_PATTERN, max_length=32)]
SemanticVersion = Annotated[str, StringConstraints(pattern=VERSION_PATTERN, max_length=17)]
Date = Annotated[str, StringConstraints(pattern=DATE_PATTERN, max_length=10)]
# A reading, a limit, a bound. The exclusion of infinities and NaN is what JSON can carry.
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e15)]

_NANOSECONDS: Final = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_BYTES: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Model(BaseModel):
    """Base of every kind and contract: unknown fields are errors, values do not change, wire names are camelCase."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


@lru_cache(maxsize=4096)
def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as ``10s``, ``5m`` or ``30d``.

    Raises
    ------
    ValueError
        If the text is not a whole number followed by one of ms, s, m, h, d.
    """
    match = re.fullmatch(r"([0-9]{1,6})(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number and a unit, such as 10s, 5m, 24h or 30d")
    return int(match[1]) * _NANOSECONDS[match[2]]


def size_bytes(text: str) -> int:
    """Bytes of a size such as ``512Mi`` or ``20Gi``.

    Raises
    ------
    ValueError
        If the text is not a whole number followed by one of Ki, Mi, Gi, Ti.
    """
    match = re.fullmatch(r"([0-9]{1,6})(Ki|Mi|Gi|Ti)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write a whole number and a unit, such as 512Mi or 20Gi")
    return int(match[1]) * _BYTES[match[2]]


def duration_text(nanoseconds: int) -> str:
    """Duration as a person says it, in at most two units: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    seconds = max(0, round(nanoseconds / 1e9))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    first = next((index for index, (amount, _) in enumerate(parts) if amount), 3)
    shown = [f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount]
    return " ".join(shown) or "0 s"
