"""A unit that is read wrongly makes every number after it wrong, and nothing else would notice."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib import resources

import pytest

from wheeltapper_api import units
from wheeltapper_api.kinds.assetclass import Quantity
from wheeltapper_api.unit_table import ATOMS, METRIC_BASE, MISTAKES, PREFIXES

NAMESPACE = {"u": "http://unitsofmeasure.org/ucum-essence"}
# Defined by units that are not in our table; the conversions below give them values of the books.
OTHER_ROAD = {"a", "mo", "eV", "cal", "[kn_i]"}


@pytest.fixture(scope="module")
def standard():
    text = (resources.files("ucumvert") / "vendor" / "ucum-essence.xml").read_text(encoding="ascii")
    return ET.fromstring(text)  # noqa: S314 - the standard's own table, out of an installed package


def test_every_unit_is_defined_as_in_the_standard(standard):
    entries = {unit.get("Code"): unit for unit in standard.findall("u:unit", NAMESPACE)}
    compared = 0
    for code, atom in ATOMS.items():
        if code == "C":
            continue  # a base unit there, where ours is the ampere
        assert code in entries, code
        entry = entries[code]
        assert atom.metric == (entry.get("isMetric") == "yes"), code
        if code in OTHER_ROAD or entry.get("isSpecial") == "yes":
            continue
        value = entry.find("u:value", NAMESPACE)
        scale, offset = units.conversion(code, value.get("Unit"))
        assert scale == pytest.approx(float(value.get("value")), rel=1e-15), code
        assert offset == 0
        compared += 1
    assert compared > 70


def test_every_prefix_is_that_of_the_standard(standard):
    entries = {
        p.get("Code"): p.find("u:value", NAMESPACE).get("value") for p in standard.findall("u:prefix", NAMESPACE)
    }
    for code, factor in PREFIXES.items():
        assert float(factor) == pytest.approx(float(entries[code]), rel=1e-15), code


@pytest.mark.parametrize(
    ("source", "canonical", "value", "expected"),
    [
        ("[degF]", "Cel", 212, 100),
        ("Cel", "[degF]", -40, -40),
        ("K", "Cel", 0, -273.15),
        ("[in_i]/s", "mm/s", 1, 25.4),
        ("m[g]", "m/s2", 1, 0.00980665),
        ("[psi]", "bar", 1, 0.0689475729317),
        ("[cft_i]/min", "m3/h", 1, 1.69901079552),
        ("[gal_us]/min", "l/s", 15.850323141489, 1),
        ("Hz", "/min", 50, 3000),
        ("{rev}/min", "/min", 7, 7),
        ("deg/s", "rad/s", 180, 3.141592653589793),
        ("kW.h", "J", 1, 3.6e6),
        ("mm[Hg]", "mbar", 750, 999.915),
        ("cal", "J", 1, 4.184),
        ("[lbf_av]", "N", 1, 4.4482216152605),
        ("[HP]", "kW", 1, 0.745699871582),
        ("%", "[ppm]", 1, 10000),
        ("C", "A.s", 1, 1),
        ("a", "d", 1, 365.25),
        ("mo", "d", 12, 365.25),
        ("[kn_i]", "m/s", 1, 1852 / 3600),
        ("eV", "J", 1, 1.602176634e-19),
        ("mPa.s", "P", 100, 1),
        ("kW/(/min)", "J", 1, 60000),
        ("Cel/min", "K/s", 60, 1),
    ],
)
def test_conversion_has_the_value_of_the_books(source, canonical, value, expected):
    scale, offset = units.conversion(source, canonical)
    assert value * scale + offset == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("source", "canonical"),
    [
        ("bar", "mm/s"),
        ("rad/s", "/min"),
        ("dB", "1"),
        ("dB[SPL]", "Pa"),
        ("/min/s", "1"),
        ("g", "m/s2"),
        ("Cel", "K/s"),
    ],
)
def test_what_measures_something_else_does_not_convert(source, canonical):
    with pytest.raises(units.UnitError, match="measure different things"):
        units.conversion(source, canonical)


def test_a_division_goes_on_to_the_right_as_the_standard_says():
    assert units.conversion("/min/s", "1/(min.s)") == (1.0, 0.0)
    assert units.conversion("kg/m/s2", "Pa") == (1.0, 0.0)


@pytest.mark.parametrize("code", sorted(MISTAKES))
def test_a_usual_mistake_gets_a_unit_that_exists(code):
    assert units.check_unit(MISTAKES[code]) is None
    # C, F, G, HP and the like may be units of something else; then their quantity gives them away.
    wrong = units.check_unit(code)
    assert wrong is None or MISTAKES[code] in wrong


@pytest.mark.parametrize(
    "code", ["", " ", "mm ", "m//s", "(m", "m)", ".m", "m/", "0", "k[psi]", "mm/s extra", "((", "°"]
)
def test_what_is_no_unit_is_refused(code):
    assert units.check_unit(code) is not None


@pytest.mark.parametrize("quantity", list(Quantity))
def test_every_quantity_has_a_unit_that_fits_it(quantity):
    assert units.fits(quantity, units.usual_unit(quantity))


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [(Quantity.ACCELERATION, "g"), (Quantity.TEMPERATURE, "C"), (Quantity.FLOW, "kg/h"), (Quantity.ANGLE, "%")],
)
def test_a_unit_of_another_quantity_does_not_fit(quantity, unit):
    assert not units.fits(quantity, unit)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("mm/s", "mm/s"),
        ("Cel", "°C"),
        ("[degF]", "°F"),
        ("m3/h", "m³/h"),
        ("m/s2", "m/s²"),
        ("/min", "min⁻¹"),
        ("um", "µm"),
        ("uS/cm", "µS/cm"),
        ("kW.h", "kW·h"),
        ("kW/(m3/h)", "kW/(m³/h)"),
        ("[in_i]/s", "in/s"),
        ("[psi]", "psi"),
        ("1", ""),
        ("%", "%"),
        ("%{RH}", "%"),
        ("{shot}", "shot"),
        ("not a unit", "not a unit"),
    ],
)
def test_people_read_the_unit_they_know(code, shown):
    assert units.display(code) == shown


def test_a_rotational_speed_is_read_in_rpm():
    assert units.display("/min", Quantity.ROTATIONAL_SPEED) == "rpm"


def test_metric_base_units_take_prefixes():
    assert units.conversion("mmol", "mol") == (0.001, 0.0)
    assert "mol" in METRIC_BASE
