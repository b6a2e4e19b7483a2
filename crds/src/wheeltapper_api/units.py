"""Units by their UCUM codes: whether one exists, what it measures, how it converts, and how people read it.

Factors are exact fractions until the end, so that a conversion there and back is the identity to the last bit a float
has. Angle counts as a dimension, as in UCUM: ``rad/s`` and ``/min`` do not convert, because a turn is not a radian.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from wheeltapper_api.kinds.assetclass import Quantity
from wheeltapper_api.unit_table import ATOMS, BASE, METRIC_BASE, MISTAKES, PREFIXES

Dimension = tuple[tuple[str, int], ...]

_TOKEN: Final = re.compile(
    r"(?P<annotation>\{[^{}]*\})|(?P<sign>[()./])"
    r"|(?P<symbol>10[*^]|[A-Za-z%'\"]*\[[^\[\]\s]+\]|[A-Za-z%'\"]+)(?P<power>[+-]?\d+)?|(?P<number>\d+)"
)

REFERENCE_UNITS: Final[dict[Quantity, tuple[str, ...]]] = {
    Quantity.ACCELERATION: ("m/s2",),
    Quantity.ANGLE: ("deg",),
    Quantity.CONCENTRATION: ("[ppm]", "mg/m3", "mol/m3", "[pH]"),
    Quantity.CONDUCTIVITY: ("uS/cm",),
    Quantity.COUNT: ("1",),
    Quantity.CURRENT: ("A",),
    Quantity.DENSITY: ("kg/m3",),
    Quantity.DISPLACEMENT: ("mm",),
    Quantity.DURATION: ("s",),
    Quantity.ENERGY: ("kW.h",),
    Quantity.FLOW: ("m3/h",),
    Quantity.FORCE: ("N",),
    Quantity.FREQUENCY: ("Hz",),
    Quantity.HUMIDITY: ("%", "g/m3"),
    Quantity.LEVEL: ("%", "m"),
    Quantity.MASS: ("kg",),
    Quantity.MASS_FLOW: ("kg/h",),
    Quantity.POWER: ("kW",),
    Quantity.PRESSURE: ("bar",),
    Quantity.RATIO: ("1",),
    Quantity.ROTATIONAL_SPEED: ("/min", "rad/s"),
    Quantity.SOUND_PRESSURE: ("dB[SPL]", "dB", "Pa"),
    Quantity.TEMPERATURE: ("Cel",),
    Quantity.TORQUE: ("N.m",),
    Quantity.VELOCITY: ("mm/s",),
    Quantity.VISCOSITY: ("mm2/s", "mPa.s"),
    Quantity.VOLTAGE: ("V",),
    Quantity.VOLUME: ("m3",),
}
"""Units a quantity is usually given in; whatever converts to one of them fits the quantity."""


class UnitError(ValueError):
    """A code is not UCUM, or two units measure different things."""


@dataclass(frozen=True, slots=True)
class _Unit:
    factor: Fraction
    dimension: Dimension
    zero: Fraction = Fraction(0)
    """Zero of the scale above the base unit's, in base units."""

    def times(self, other: _Unit, power: int) -> _Unit:
        exponents = dict(self.dimension)
        for base, exponent in other.dimension:
            exponents[base] = exponents.get(base, 0) + power * exponent
        kept = tuple(sorted((base, exponent) for base, exponent in exponents.items() if exponent))
        # A scale with a zero of its own stands for a difference as soon as it is multiplied: Cel/s is K/s.
        return _Unit(self.factor * other.factor**power, kept)


_ONE: Final = _Unit(Fraction(1), ())


def check_unit(code: str) -> str | None:
    """What is wrong with a unit code and what would be right, or None where it is valid UCUM."""
    try:
        _parse(code)
    except UnitError as error:
        return str(error)
    return None


@lru_cache(maxsize=4096)
def conversion(source_unit: str, canonical_unit: str) -> tuple[float, float]:
    """Scale and offset that turn a number in one unit into the other: ``canonical = source * scale + offset``.

    Parameters
    ----------
    source_unit, canonical_unit
        UCUM codes.

    Raises
    ------
    UnitError
        If one is not UCUM or they measure different things.
    """
    source, canonical = _parse(source_unit), _parse(canonical_unit)
    if source.dimension != canonical.dimension:
        raise UnitError(f"{source_unit} and {canonical_unit} measure different things")
    scale = source.factor / canonical.factor
    return float(scale), float((source.zero - canonical.zero) / canonical.factor)


def fits(quantity: Quantity | str, unit: str) -> bool:
    """Whether a unit measures a quantity.

    Raises
    ------
    UnitError
        If the code is not UCUM.
    """
    dimension = _parse(unit).dimension
    return any(_parse(reference).dimension == dimension for reference in REFERENCE_UNITS[Quantity(quantity)])


def usual_unit(quantity: Quantity | str) -> str:
    """A unit the quantity is usually given in, for messages."""
    return REFERENCE_UNITS[Quantity(quantity)][0]


@lru_cache(maxsize=4096)
def _parse(code: str) -> _Unit:
    tokens: list[re.Match[str]] = []
    position = 0
    while position < len(code):
        match = _TOKEN.match(code, position)
        if match is None:
            raise _unknown(code)
        tokens.append(match)
        position = match.end()
    if not tokens:
        raise UnitError("A unit is empty; write 1 for a number without unit")
    unit, rest = _term(code, tokens)
    if rest:
        raise _unknown(code)
    return unit


def _term(code: str, tokens: list[re.Match[str]]) -> tuple[_Unit, list[re.Match[str]]]:
    """A product read from the left, as UCUM does: ``/min/s`` is one over minutes and seconds."""
    unit, power, first = _ONE, 1, True
    while tokens and tokens[0].group() != ")":
        sign = tokens[0].group()
        if sign in {".", "/"}:
            if first and sign == ".":
                raise _unknown(code)
            power, tokens = (-1 if sign == "/" else 1), tokens[1:]
        elif not first:
            raise _unknown(code)
        factor, tokens = _component(code, tokens)
        unit = factor if first and power == 1 else unit.times(factor, power)
        first = False
    if first:
        raise _unknown(code)
    return unit, tokens


def _component(code: str, tokens: list[re.Match[str]]) -> tuple[_Unit, list[re.Match[str]]]:
    if not tokens:
        raise _unknown(code)
    head, rest = tokens[0], tokens[1:]
    if head.group() == "(":
        unit, rest = _term(code, rest)
        if not rest or rest[0].group() != ")":
            raise _unknown(code)
        rest = rest[1:]
    elif head["annotation"]:
        # Words in braces say what is counted and change nothing: {rev}/min is /min.
        return _ONE, rest
    elif head["number"] and int(head["number"]) > 0:
        unit = _Unit(Fraction(int(head["number"])), ())
    elif head["symbol"]:
        symbol = _symbol(code, head["symbol"])
        unit = symbol if head["power"] is None else _ONE.times(symbol, int(head["power"]))
    else:
        raise _unknown(code)
    if rest and rest[0]["annotation"]:
        rest = rest[1:]
    return unit, rest


def _symbol(code: str, symbol: str) -> _Unit:
    found = _atom(symbol)
    if found is not None:
        return found
    for length in (2, 1):
        prefix, stem = symbol[:length], symbol[length:]
        if prefix in PREFIXES and (stem in METRIC_BASE or (stem in ATOMS and ATOMS[stem].metric)):
            atom = _atom(stem) or _ONE
            return _Unit(atom.factor * PREFIXES[prefix], atom.dimension, atom.zero)
    raise _unknown(code)


@lru_cache(maxsize=512)
def _atom(symbol: str) -> _Unit | None:
    if symbol in BASE:
        return _Unit(Fraction(1), ((symbol, 1),))
    atom = ATOMS.get(symbol)
    if atom is None:
        return None
    of = _parse(atom.of)
    factor = Fraction(atom.value) * of.factor
    return _Unit(factor, of.dimension, Fraction(atom.zero) * factor)


def _unknown(code: str) -> UnitError:
    known = MISTAKES.get(code) or MISTAKES.get(code.replace(" ", ""))
    if known is None:
        close = difflib.get_close_matches(code, [*ATOMS, *BASE, *MISTAKES], n=1, cutoff=0.75)
        known = MISTAKES.get(close[0], close[0]) if close else None
    remedy = f"write {known}" if known else "write a code of ucum.org, such as mm/s, Cel, bar or m3/h"
    return UnitError(f"{code!r} is not a UCUM unit; {remedy}")


_SHOWN: Final = {
    "Cel": "°C",
    "[degF]": "°F",
    "[degR]": "°R",
    "Ohm": "Ω",
    "deg": "°",
    "[psi]": "psi",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "[pptr]": "ppt",
    "[g]": "g",
    "[pH]": "pH",
    "[HP]": "hp",
    "[gal_us]": "gal",
    "[gal_br]": "gal (imp.)",
    "[cft_i]": "ft³",
    "[cin_i]": "in³",
    "[bbl_us]": "bbl",
    "m[H2O]": "mH₂O",
    "m[Hg]": "mHg",
    "[in_i'H2O]": "inH₂O",
    "[in_i'Hg]": "inHg",
    "B[SPL]": "B",
    "l": "L",
    "10*": "10",
    "10^": "10",
}
_SUPERSCRIPTS: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "+")


@lru_cache(maxsize=4096)
def display(unit: str, quantity: Quantity | str | None = None) -> str:
    """A unit as people read it: ``Cel`` is °C, ``m3/h`` is m³/h, ``/min`` is min⁻¹ or, of a rotational speed, rpm.

    Never raises: a code that cannot be read is shown as it is.
    """
    if (
        quantity is not None
        and Quantity(quantity) is Quantity.ROTATIONAL_SPEED
        and unit in {"/min", "1/min", "{rev}/min"}
    ):
        return "rpm"
    if unit == "1" or check_unit(unit) is not None:
        return "" if unit == "1" else unit
    if (alone := re.fullmatch(r"(?:1?/)\(?(?:1?/)?([A-Za-z]+)\)?", unit)) is not None and unit.count("/") == 1:
        return f"{_shown(alone[1])}⁻¹"
    # A division by something per minute reads better as a product: kW/(/min) is kW·min.
    text = re.sub(r"/\((?:1)?/([^()/]+)\)", r".\1", unit)
    return _TOKEN.sub(_shown_token, f"1{text}" if text.startswith("/") else text)


def _shown_token(token: re.Match[str]) -> str:
    if token["sign"]:
        return "·" if token["sign"] == "." else token["sign"]
    if token["annotation"]:
        # Beside a unit the words only say what is meant; alone they are all there is.
        before = token.string[: token.start()]
        return token["annotation"][1:-1] if before == "" or before[-1] in "./(" else ""
    if token["number"]:
        return token["number"]
    return _shown(token["symbol"]) + (token["power"] or "").translate(_SUPERSCRIPTS)


def _shown(symbol: str) -> str:
    if symbol in _SHOWN:
        return _SHOWN[symbol]
    for length in (0, 2, 1):
        prefix, stem = symbol[:length], symbol[length:]
        if (length == 0 or prefix in PREFIXES) and stem and _atom(stem) is not None:
            plain = re.fullmatch(r"\[(\w+?)_(?:i|us|br|av|IT|th)\]", stem)
            return ("µ" if prefix == "u" else prefix) + _SHOWN.get(stem, plain[1] if plain else stem)
    return symbol
