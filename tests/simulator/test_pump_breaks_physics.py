"""The pump must obey the laws it is documented to obey."""

import numpy as np
import pytest

from wheeltapper_workers.simulator import pump
from wheeltapper_workers.simulator.pump import Design

DESIGN = Design()
LOADS = np.linspace(0.6, 1.15, 12)[np.newaxis]


def at(load=1.0, speed=1.0, clogging=0.0, level=1.0):
    load, speed, clogging, level = np.broadcast_arrays(*map(np.atleast_2d, (load, speed, clogging, level)))
    return pump.operating_point(speed, load, clogging, level, DESIGN)


def test_rated_point_is_the_best_efficiency_point():
    point = at()
    assert point.flow_m3_h == pytest.approx(200.0, rel=2e-3)
    assert point.head_m == pytest.approx(32.0, rel=2e-3)
    flows = np.linspace(20, 320, 601)[np.newaxis]
    best = flows[0, pump.efficiency(flows, np.ones_like(flows), DESIGN).argmax()]
    assert best == pytest.approx(200.0, abs=0.5)


@pytest.mark.parametrize("speed", [0.7, 0.85, 1.1])
def test_affinity_laws(speed):
    flow = np.linspace(50, 250, 9)[np.newaxis]
    rated, other = np.ones_like(flow), np.full_like(flow, speed)
    scaled = flow * speed
    assert pump.head_m(scaled, other, DESIGN) == pytest.approx(pump.head_m(flow, rated, DESIGN) * speed**2)
    assert pump.efficiency(scaled, other, DESIGN) == pytest.approx(pump.efficiency(flow, rated, DESIGN))
    assert pump.npsh_required_m(scaled, other, DESIGN) == pytest.approx(
        pump.npsh_required_m(flow, rated, DESIGN) * speed**2
    )
    friction = pump.shaft_power_kw(flow, rated, -0.25 * rated, DESIGN)  # wear of -1/4 takes the bearing friction away
    assert pump.shaft_power_kw(scaled, other, -0.25 * rated, DESIGN) == pytest.approx(friction * speed**3)


def test_operating_point_lies_on_both_curves():
    load = LOADS
    point = at(load, level=5.0)
    flow = pump.operating_flow_m3_h(
        np.ones_like(load), pump.system_resistance_m(load, DESIGN), np.ones_like(load), DESIGN
    )
    system = DESIGN.static_head_m + pump.system_resistance_m(load, DESIGN) * (flow / 200.0) ** 2
    assert pump.head_m(flow, np.ones_like(flow), DESIGN) == pytest.approx(system)
    assert point.flow_m3_h == pytest.approx(load * 200.0, rel=3e-3)


def test_energy_is_not_created():
    point = at(LOADS)
    shaft = pump.shaft_power_kw(point.flow_m3_h, np.ones_like(LOADS), np.zeros_like(LOADS), DESIGN)
    hydraulic = pump.hydraulic_power_kw(point.flow_m3_h, point.head_m)
    electric = pump.motor_power_kw(shaft, np.ones_like(LOADS), DESIGN)
    assert (hydraulic < shaft).all()
    assert (shaft < electric).all()
    current = pump.motor_current_a(electric, np.ones_like(LOADS), DESIGN)
    power_factor = electric * 1000 / (np.sqrt(3) * DESIGN.voltage_v * current)
    assert ((power_factor > 0.75) & (power_factor < 0.95)).all()


def test_suction_margin_shrinks_with_flow_and_clogging():
    flows = np.linspace(20, 260, 25)[np.newaxis]
    none = np.zeros_like(flows)
    assert (np.diff(pump.npsh_available_m(flows, none, 1 + none, DESIGN)) < 0).all()
    assert (np.diff(pump.npsh_required_m(flows, none + 1, DESIGN)) > 0).all()
    clogged = at(clogging=np.linspace(0, 1, 21))
    assert (np.diff(clogged.npsh_available_m / clogged.npsh_required_m) < 0).all()
    assert (np.diff(clogged.cavitation) >= 0).all()
    assert clogged.cavitation[0, -1] == 1.0
    assert clogged.head_m[0, -1] < 0.97 * clogged.head_m[0, 0]
    assert clogged.flow_m3_h[0, -1] < clogged.flow_m3_h[0, 0]


def test_coupling_of_cavitation_and_flow_has_settled():
    clogging = np.linspace(0, 1, 21)
    point = at(1.15, clogging=clogging)
    factor = pump.head_factor_cavitating(point.npsh_available_m, point.npsh_required_m)
    resistance = pump.system_resistance_m(np.full_like(factor, 1.15), DESIGN)
    again = pump.operating_flow_m3_h(np.ones_like(factor), resistance, factor, DESIGN)
    assert again == pytest.approx(point.flow_m3_h, rel=1e-3)


def test_npsh3_costs_three_per_cent_of_head():
    npsh = np.array([[3.5]])
    assert pump.head_factor_cavitating(npsh, npsh) == pytest.approx(0.97)


def test_slow_pump_moves_no_water_and_a_stopped_one_is_cold_metal():
    slow = at(speed=0.5)
    assert slow.flow_m3_h == 0.0
    stopped = at(speed=0.0)
    nothing = np.zeros((1, 1))
    shaft = pump.shaft_power_kw(stopped.flow_m3_h, nothing, nothing, DESIGN)
    assert shaft == 0.0
    assert pump.motor_current_a(shaft, nothing, DESIGN) == 0.0
    drive_end, _ = pump.vibration_mm_s(nothing, nothing, nothing, stopped.cavitation, DESIGN)
    assert drive_end < 0.1
    assert pump.bearing_target_cel(nothing + 20.0, nothing, shaft, nothing, DESIGN)[0] == 20.0


def test_vibration_is_lowest_at_the_best_efficiency_point():
    q = np.linspace(0.5, 1.4, 91)[np.newaxis]
    one, none = np.ones_like(q), np.zeros_like(q)
    drive_end, non_drive_end = pump.vibration_mm_s(q, one, none, none, DESIGN)
    assert q[0, drive_end.argmin()] == pytest.approx(1.0)
    assert (non_drive_end < drive_end).all()


def test_bearing_follows_a_first_order_law():
    target = np.full((1, 421), 60.0)
    values, state = pump.first_order(target, np.array([20.0]), 420.0, 1.0)
    assert values[0, 419] == pytest.approx(60.0 - 40.0 * np.exp(-1.0))
    assert state[0] == values[0, -1]
