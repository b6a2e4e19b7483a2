"""Scalars of YAML 1.2's core schema, and which of them Kubernetes' own reader takes for something else.

``kubectl`` reads YAML 1.1: there ``off`` is false, ``0502`` is octal and ``1_000`` a number. What both read alike is
taken; what they do not is refused with its remedy, or a file that is right here would mean something else in a cluster.
Its reader: https://github.com/kubernetes-sigs/yaml, ``goyaml.v2/resolve.go``.
"""

from __future__ import annotations

import re
from typing import Any, Final

_INT: Final = re.compile(r"[-+]?[0-9]{1,300}")
_OCTAL_OR_HEX: Final = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | {f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")}
    | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
)
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE: Final = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_BOOLEANS: Final = _TRUE | _FALSE
_OCTAL_OF_OLD: Final = re.compile(r"[-+]?0[0-9]+")
_OTHER_BASE: Final = re.compile(r"[-+]?0[bB][01]+|[-+]0[xXoO][0-9a-fA-F]+|0[XO][0-9a-fA-F]+")
_NUMBERS_BEGIN: Final = frozenset("0123456789+-.")


def plain_value(text: str) -> Any:
    """Value of a scalar without quotes: None, a truth value, a number, or text."""
    if text in _WORDS:
        return _WORDS[text]
    # Most scalars are text; their first letter says so without three searches.
    if text[0] not in _NUMBERS_BEGIN:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def is_ambiguous(text: str) -> bool:
    """Whether a scalar without quotes means one thing in YAML 1.2 and another to ``kubectl``."""
    if text in _BOOLEANS:
        return True
    if not text or text[0] not in _NUMBERS_BEGIN:
        return False
    return _other_number(text)


def ambiguity(text: str) -> tuple[str, str]:
    """What ``kubectl`` makes of an ambiguous scalar, and what to write instead."""
    if text in _BOOLEANS:
        return f"kubectl reads {text} as {str(text in _TRUE).lower()}", f'Put it in quotes: "{text}"'
    plain = text.replace("_", "")
    if _OCTAL_OF_OLD.fullmatch(plain) and "_" not in text:
        number = str(int(plain))
        return f"kubectl reads {text} as octal or text", f'Write {number}, or "{text}" if it is text'
    return f"kubectl reads {text} as a number", f'Put it in quotes: "{text}", or write the number in full'


def _other_number(text: str) -> bool:
    plain = text.replace("_", "")
    if _OCTAL_OF_OLD.fullmatch(plain) or _OTHER_BASE.fullmatch(plain):
        return True
    number = _INT.fullmatch(plain) or _OCTAL_OR_HEX.fullmatch(plain) or _FLOAT.fullmatch(plain)
    return plain != text and number is not None
