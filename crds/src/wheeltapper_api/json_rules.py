"""CEL rules as keywords of JSON Schema, as far as they are about which fields are given and which values texts have.

Such a rule reads the same in Python but for three signs, and Python's own parser takes it apart. A rule that compares
numbers has no counterpart in JSON Schema.
"""

from __future__ import annotations

import ast
import re
from functools import reduce
from typing import Any, Final

Keywords = dict[str, Any]

_SIGNS: Final = (
    (re.compile(r"&&"), " and "),
    (re.compile(r"\|\|"), " or "),
    (re.compile(r"!(?!=)"), " not "),
    # A field may be called from, which is a word of Python.
    (re.compile(r"\.(?=[A-Za-z_])"), ".field_"),
)
_COUNTED: Final = re.compile(r"\(has\(self\.\w+\) \? 1 : 0\)(?: \+ \(has\(self\.\w+\) \? 1 : 0\))+ (==|<=) 1")
_HAS: Final = re.compile(r"has\(self\.(\w+)\)")


def rule_keywords(rule: str) -> Keywords | None:
    """Schema that an object fits exactly if the rule holds for it; None for a rule about more than that."""
    if (counted := _COUNTED.fullmatch(rule)) is not None:
        given: list[Keywords] = [{"required": [name]} for name in _HAS.findall(rule)]
        return {"oneOf": given} if counted[1] == "==" else {"oneOf": [*given, {"not": {"anyOf": given}}]}
    text = reduce(lambda told, sign: sign[0].sub(sign[1], told), _SIGNS, rule).strip()
    try:
        return _of(ast.parse(text, mode="eval").body)
    except (SyntaxError, _NoCounterpartError):
        return None


class _NoCounterpartError(Exception):
    """A part of a rule is about numbers or about entries of a list."""


def _of(node: ast.expr) -> Keywords:
    match node:
        case ast.BoolOp(op=ast.Or(), values=values):
            return {"anyOf": [_of(value) for value in values]}
        case ast.BoolOp(values=values):
            return {"allOf": [_of(value) for value in values]}
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return {"not": _of(operand)}
        case _:
            return _atom(node)


def _atom(node: ast.expr) -> Keywords:
    match node:
        case ast.Call(func=ast.Name(id="has"), args=[field]):
            return _within(_path(field), None)
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.List(elts=elements)]):
            return _within(_path(left), {"enum": [_text(element) for element in elements]})
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return _equal(left, right)
        case ast.Compare(left=left, ops=[ast.NotEq()], comparators=[right]):
            return {"not": _equal(left, right)}
        case _:
            raise _NoCounterpartError


def _equal(left: ast.expr, right: ast.expr) -> Keywords:
    if isinstance(right, ast.Constant):
        return _within(_path(left), {"const": _text(right)})
    first, second = _of(left), _of(right)
    return {"oneOf": [{"allOf": [first, second]}, {"not": {"anyOf": [first, second]}}]}


def _within(path: list[str], value: Keywords | None) -> Keywords:
    """A field is given, and its value fits."""
    name, *below = path
    inner = _within(below, value) if below else value
    return {"required": [name]} | ({"properties": {name: inner}} if inner else {})


def _path(node: ast.expr) -> list[str]:
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return [_plain(name)]
        case ast.Attribute(value=owner, attr=name):
            return [*_path(owner), _plain(name)]
        case _:
            raise _NoCounterpartError


def _plain(name: str) -> str:
    """Field behind the marks of a name that is a word of Python or of CEL."""
    name = name.removeprefix("field_")
    return name[2:-2] if name.startswith("__") and name.endswith("__") else name


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise _NoCounterpartError
