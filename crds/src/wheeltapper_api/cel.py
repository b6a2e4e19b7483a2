"""The part of CEL that the kinds' rules use: ``wheeltapper validate`` holds a file to the API server's own rules.

Why not a library: of those on PyPI the official runtime is 14 MB of native code in every image, and the others bring
a command line's dependencies or need 17 us a rule. Tests hold this evaluator against the official runtime on every
rule.

Supported: field access, ``has``, ``all``, ``exists``, ``size``, ``?:``, ``||``, ``&&``, ``!``, ``in``, comparisons,
``+``, ``-``, and literals of numbers, strings, lists, true and false. Anything else is refused when the rule is
compiled. Grammar and meaning: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

Environment = dict[str, Any]
Evaluate = Callable[[Environment], Any]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>'[^'\\]*'|\"[^\"\\]*\")"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>\|\||&&|==|!=|<=|>=|[-+!<>?:.,()\[\]]))"
)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: left in right,
}


class CelError(ValueError):
    """A rule is not in the supported part of CEL, or reads a field that is not there."""


@lru_cache(maxsize=512)
def compile_rule(text: str) -> Callable[[Any], bool]:
    """Compile a rule once into a predicate of ``self``.

    Raises
    ------
    CelError
        If the rule is not in the supported part of the language. The predicate raises it when the rule reads a field
        that is absent; the API server refuses such an object too.
    """
    parser = _Parser(_tokens(text), text)
    evaluate = parser.ternary()
    parser.expect_end()
    return lambda value: bool(evaluate({"self": value}))


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise CelError(f"Cannot read the rule {text!r} at {text[position:]!r}")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent, one method a level of precedence; each returns a closure over the environment."""

    def __init__(self, tokens: list[tuple[str, str]], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    def expect_end(self) -> None:
        if self._at != len(self._tokens):
            raise self._error()

    def ternary(self) -> Evaluate:
        condition = self._or()
        if not self._take("?"):
            return condition
        yes = self._or()
        self._expect(":")
        no = self.ternary()
        return lambda env: yes(env) if condition(env) else no(env)

    def _or(self) -> Evaluate:
        left = self._and()
        while self._take("||"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Evaluate:
        left = self._relation()
        while self._take("&&"):
            left = _both(left, self._relation())
        return left

    def _relation(self) -> Evaluate:
        left = self._sum()
        while self._peek() in _COMPARISONS:
            left = _apply(_COMPARISONS[self._next()], left, self._sum())
        return left

    def _sum(self) -> Evaluate:
        left = self._unary()
        while self._peek() in {"+", "-"}:
            left = _apply(operator.add if self._next() == "+" else operator.sub, left, self._unary())
        return left

    def _unary(self) -> Evaluate:
        if self._take("!"):
            inner = self._unary()
            return lambda env: not inner(env)
        if self._take("-"):
            inner = self._unary()
            return lambda env: -inner(env)
        return self._member()

    def _member(self) -> Evaluate:
        value = self._primary()
        while self._take("."):
            name = self._word()
            value = self._method(value, name) if self._take("(") else _field(value, _unescaped(name))
        return value

    def _method(self, value: Evaluate, name: str) -> Evaluate:
        if name == "size":
            self._expect(")")
            return lambda env: len(value(env))
        if name not in {"all", "exists"}:
            raise self._error()
        variable = self._word()
        self._expect(",")
        body = self.ternary()
        self._expect(")")
        quantifier = all if name == "all" else any
        return lambda env: quantifier(body(env | {variable: item}) for item in value(env))

    def _primary(self) -> Evaluate:
        if self._at >= len(self._tokens):
            raise self._error()
        sort, text = self._tokens[self._at]
        self._at += 1
        if sort == "number":
            return _constant(float(text) if "." in text else int(text))
        if sort == "string":
            return _constant(text[1:-1])
        if text == "(":
            inner = self.ternary()
            self._expect(")")
            return inner
        if text == "[":
            return self._list()
        if sort != "word":
            raise self._error()
        return self._named(text)

    def _named(self, text: str) -> Evaluate:
        if text in {"true", "false"}:
            return _constant(text == "true")
        if text == "has" and self._take("("):
            return self._has()
        return _variable(text)

    def _has(self) -> Evaluate:
        path = [self._word()]
        while self._take("."):
            path.append(_unescaped(self._word()))
        self._expect(")")
        if len(path) < 2:
            raise self._error()
        owner = _variable(path[0])
        for name in path[1:-1]:
            owner = _field(owner, name)
        last = path[-1]
        return lambda env: last in owner(env)

    def _list(self) -> Evaluate:
        items: list[Evaluate] = []
        while not self._take("]"):
            if items:
                self._expect(",")
            items.append(self.ternary())
        return lambda env: [item(env) for item in items]

    def _peek(self) -> str:
        """Next sign or word; a string that looks like one does not count."""
        sort, text = self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")
        return text if sort in {"sign", "word"} else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _take(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._at += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error()

    def _word(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != "word":
            raise self._error()
        return self._next()

    def _error(self) -> CelError:
        rest = " ".join(text for _, text in self._tokens[self._at :]) or "its end"
        return CelError(f"The rule {self._text!r} goes beyond the supported part of CEL at {rest!r}")


def _unescaped(name: str) -> str:
    """Field behind ``__name__``: so the API server writes one whose name is a word of CEL, such as ``function``."""
    return name[2:-2] if len(name) > 4 and name.startswith("__") and name.endswith("__") else name


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _variable(name: str) -> Evaluate:
    def read(env: Environment) -> Any:
        if name not in env:
            raise CelError(f"Unknown variable {name}")
        return env[name]

    return read


def _field(owner: Evaluate, name: str) -> Evaluate:
    def read(env: Environment) -> Any:
        try:
            return owner(env)[name]
        except KeyError:
            raise CelError(f"No field {name}") from None

    return read


def _either(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: left(env) or right(env)


def _both(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: left(env) and right(env)


def _apply(function: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda env: function(left(env), right(env))
