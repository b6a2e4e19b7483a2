"""Physics of a centrifugal pump with an induction motor.

Pure functions on arrays: values have shape [n_assets, n_times], design figures [n_assets, 1] or plain numbers. Units
are in the names. ``docs/simulator.md`` derives each formula and names its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter

from wheeltapper_workers.simulator.randomness import Floats

WATER_KG_M3: Final = 998.2  # water at 20 Cel
GRAVITY_M_S2: Final = 9.80665
ATMOSPHERE_PA: Final = 101_325.0
VAPOUR_PA: Final = 2_339.0  # water at 20 Cel
PA_PER_BAR: Final = 1e5
PA_PER_M: Final = WATER_KG_M3 * GRAVITY_M_S2
_S_PER_H: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Design:
    """Figures of a pump and its system; each a number or an array of shape [n_assets, 1]."""

    flow_bep_m3_h: Floats | float = 200.0
    head_bep_m: Floats | float = 32.0
    shutoff_ratio: float = 1.3  # head at no flow over head at the best efficiency point
    static_head_m: Floats | float = 18.0
    efficiency_bep: float = 0.80
    rated_speed_min: float = 1480.0
    synchronous_speed_min: float = 1500.0
    motor_efficiency: float = 0.93
    voltage_v: float = 400.0
    magnetising_share: float = 0.53  # of the active current at the best efficiency point
    suction_level_m: float = 1.0  # water level above the impeller eye
    suction_loss_bep_m: float = 0.8
    npsh_required_bep_m: float = 3.5
    vibration_bep_mm_s: Floats | float = 1.4
    bearing_rise_k: Floats | float = 24.0
    bearing_time_constant_s: float = 420.0


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Hydraulic state, arrays of shape [n_assets, n_times]."""

    flow_m3_h: Floats
    head_m: Floats
    npsh_available_m: Floats
    npsh_required_m: Floats
    cavitation: Floats
    """0 below inception, 1 when fully developed."""


def head_m(flow_m3_h: Floats, speed_ratio: Floats, design: Design) -> Floats:
    """Head of the pump: a parabola at rated speed, other speeds by the affinity laws."""
    shutoff = design.head_bep_m * design.shutoff_ratio
    droop = design.head_bep_m * (design.shutoff_ratio - 1.0)
    return np.asarray(shutoff * speed_ratio**2 - droop * (flow_m3_h / design.flow_bep_m3_h) ** 2)


def system_resistance_m(load: Floats, design: Design) -> Floats:
    """Friction head of the system at best-efficiency flow, for the valve position that gives flow ``load`` x BEP.

    The demand sets a valve; the operating point then follows from where the pump and system curves meet.
    """
    relative = np.asarray(load, dtype=np.float64)
    pump_head = head_m(relative * design.flow_bep_m3_h, np.ones_like(relative), design)
    return np.asarray((pump_head - design.static_head_m) / relative**2)


def operating_flow_m3_h(speed_ratio: Floats, resistance_m: Floats, head_factor: Floats, design: Design) -> Floats:
    """Flow where pump and system curves meet; no flow (check valve shut) while the pump cannot lift the static head."""
    shutoff = design.head_bep_m * design.shutoff_ratio * speed_ratio**2 * head_factor
    droop = design.head_bep_m * (design.shutoff_ratio - 1.0) * head_factor
    surplus = np.maximum(shutoff - design.static_head_m, 0.0)
    return np.asarray(design.flow_bep_m3_h * np.sqrt(surplus / (droop + resistance_m)))


def npsh_available_m(flow_m3_h: Floats, clogging: Floats, level_m: Floats, design: Design) -> Floats:
    """Net positive suction head available at the impeller eye."""
    absolute = (ATMOSPHERE_PA - VAPOUR_PA) / PA_PER_M
    return np.asarray(absolute + level_m - suction_loss_m(flow_m3_h, clogging, design))


def suction_head_m(available_m: Floats) -> Floats:
    """Gauge head at the suction flange; it cannot fall below vapour pressure, where the liquid boils instead."""
    return np.asarray(np.maximum(available_m, 0.0) - (ATMOSPHERE_PA - VAPOUR_PA) / PA_PER_M)


def suction_loss_m(flow_m3_h: Floats, clogging: Floats, design: Design) -> Floats:
    """Head lost in the suction line; a clogging intake adds a draw-down and a share that grows with flow."""
    relative = (flow_m3_h / design.flow_bep_m3_h) ** 2
    running = flow_m3_h > 0.0
    return np.asarray(design.suction_loss_bep_m * relative + clogging * (5.5 * running + 2.0 * relative))


def npsh_required_m(flow_m3_h: Floats, speed_ratio: Floats, design: Design) -> Floats:
    """NPSH3: the suction head at which the head has dropped by 3 % (ISO 9906), scaled with speed squared."""
    relative = (flow_m3_h / design.flow_bep_m3_h) ** 2
    return np.asarray(design.npsh_required_bep_m * (0.75 * speed_ratio**2 + 0.25 * relative))


def cavitation_intensity(available_m: Floats, required_m: Floats) -> Floats:
    """Rise from 0 at inception (2.9 x NPSH3) to 1 just below NPSH3.

    Bubbles and noise begin far above the suction head that costs 3 % of head; hence the wide range.
    """
    ratio = available_m / np.maximum(required_m, 1e-6)
    return np.asarray(np.clip((2.9 - ratio) / (2.9 - 1.0), 0.0, 1.0))


def head_factor_cavitating(available_m: Floats, required_m: Floats) -> Floats:
    """Share of the head left under cavitation: exactly 0.97 where available equals required, at least 0.75."""
    ratio = available_m / np.maximum(required_m, 1e-6)
    return np.asarray(1.0 - np.minimum(0.03 * np.exp(5.0 * (1.0 - np.minimum(ratio, 50.0))), 0.25))


def operating_point(
    speed_ratio: Floats, load: Floats, clogging: Floats, level_m: Floats, design: Design
) -> OperatingPoint:
    """Solve flow, head and suction conditions together.

    Cavitation lowers the head, which lowers the flow, which relieves the suction. The flow that a flow would cause
    falls as that flow rises, so there is one solution, bracketed by no flow and the flow without cavitation. Plain
    iteration would swing to and fro at high load; a fixed number of halvings keeps values independent of chunk size.
    """
    resistance = system_resistance_m(load, design)

    def excess(flow: Floats) -> Floats:
        available = npsh_available_m(flow, clogging, level_m, design)
        factor = head_factor_cavitating(available, npsh_required_m(flow, speed_ratio, design))
        return np.asarray(flow - operating_flow_m3_h(speed_ratio, resistance, factor, design))

    low = np.zeros_like(speed_ratio)
    high = operating_flow_m3_h(speed_ratio, resistance, np.ones_like(speed_ratio), design)
    for _ in range(8):
        middle = 0.5 * (low + high)
        above = excess(middle) > 0.0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    below, over = excess(low), excess(high)
    # In a bracket 1/256 wide the curve is as good as straight.
    flow = low - below * (high - low) / np.maximum(over - below, 1e-12)
    available = npsh_available_m(flow, clogging, level_m, design)
    required = npsh_required_m(flow, speed_ratio, design)
    head = head_m(flow, speed_ratio, design) * head_factor_cavitating(available, required)
    return OperatingPoint(flow, head, available, required, cavitation_intensity(available, required))


def efficiency(flow_m3_h: Floats, speed_ratio: Floats, design: Design) -> Floats:
    """Hydraulic efficiency: a parabola through zero flow, its summit at the (speed-scaled) best efficiency point."""
    q = relative_flow(flow_m3_h, speed_ratio, design)
    return np.asarray(np.clip(design.efficiency_bep * (2.0 * q - q**2), 0.0, None))


def relative_flow(flow_m3_h: Floats, speed_ratio: Floats, design: Design) -> Floats:
    """Flow over the best-efficiency flow at the present speed (affinity: proportional to speed)."""
    return np.asarray(flow_m3_h / (design.flow_bep_m3_h * np.maximum(speed_ratio, 1e-3)))


def hydraulic_power_kw(flow_m3_h: Floats, total_head_m: Floats) -> Floats:
    """Power given to the water: density x gravity x flow x head."""
    return np.asarray(PA_PER_M * flow_m3_h / _S_PER_H * total_head_m / 1000.0)


def shaft_power_kw(flow_m3_h: Floats, speed_ratio: Floats, wear: Floats, design: Design) -> Floats:
    """Power at the shaft, from the undisturbed head over efficiency; bearing friction adds up to 4 % when worn.

    Flow cancels against the efficiency parabola, so the shut-off power is finite: Q/eta = Q_bep s / (eta_bep (2 - q)).
    Cavitation does not lower it: the head is lost, the work is still done on the liquid.
    """
    q = np.minimum(relative_flow(flow_m3_h, speed_ratio, design), 1.8)
    flow_over_efficiency = design.flow_bep_m3_h * speed_ratio / (design.efficiency_bep * (2.0 - q))
    rated = _rated_shaft_power_kw(design)
    friction = rated * speed_ratio**2 * (0.01 + 0.04 * wear)
    return np.asarray(hydraulic_power_kw(flow_over_efficiency, head_m(flow_m3_h, speed_ratio, design)) + friction)


def _rated_shaft_power_kw(design: Design) -> Floats | float:
    return PA_PER_M * design.flow_bep_m3_h / _S_PER_H * design.head_bep_m / 1000.0 / design.efficiency_bep


def motor_power_kw(shaft_kw: Floats, energised: Floats, design: Design) -> Floats:
    """Electrical power drawn; nothing while the motor is switched off and runs down."""
    return np.asarray(energised * shaft_kw / design.motor_efficiency)


def motor_current_a(power_kw: Floats, energised: Floats, design: Design) -> Floats:
    """Line current: active share from power, magnetising share constant; they add at a right angle."""
    per_kw = 1000.0 / (np.sqrt(3.0) * design.voltage_v)
    magnetising = design.magnetising_share * _rated_shaft_power_kw(design) / design.motor_efficiency * per_kw
    return np.asarray(energised * np.hypot(power_kw * per_kw, magnetising))


def shaft_speed_min(speed_ratio: Floats, shaft_kw: Floats, design: Design) -> Floats:
    """Shaft speed: an induction motor slips in proportion to its load."""
    slip = (design.synchronous_speed_min - design.rated_speed_min) * shaft_kw / _rated_shaft_power_kw(design)
    return np.asarray(speed_ratio * (design.synchronous_speed_min - slip))


def vibration_mm_s(
    q: Floats, speed_ratio: Floats, wear: Floats, cavitation: Floats, design: Design
) -> tuple[Floats, Floats]:
    """RMS vibration velocity at drive end and non-drive end.

    Lowest near the best efficiency point, proportional to speed squared (unbalance), more on either side of it; a worn
    drive-end bearing multiplies, broadband cavitation adds in quadrature, as independent sources do.
    """
    away = (1.0 - q) ** 2
    mechanical = design.vibration_bep_mm_s * speed_ratio**2 * (1.0 + np.where(q < 1.0, 2.0, 3.0) * away)
    broadband = 3.8 * design.vibration_bep_mm_s * speed_ratio**2 * cavitation
    background = 0.08  # from the neighbours, through the foundation
    grown = wear**1.5
    drive_end = np.sqrt((mechanical * (1.0 + 2.5 * grown)) ** 2 + broadband**2 + background**2)
    non_drive_end = np.sqrt((0.75 * mechanical * (1.0 + 0.6 * grown)) ** 2 + (0.9 * broadband) ** 2 + background**2)
    return drive_end, non_drive_end


def bearing_target_cel(
    ambient_cel: Floats, speed_ratio: Floats, shaft_kw: Floats, wear: Floats, design: Design
) -> tuple[Floats, Floats]:
    """Temperatures both bearings would settle at, drive end first: ambient plus friction heat over heat loss."""
    load = 0.6 + 0.4 * shaft_kw / _rated_shaft_power_kw(design)
    rise = design.bearing_rise_k * speed_ratio * load
    return np.asarray(ambient_cel + rise * (1.0 + 1.6 * wear)), np.asarray(
        ambient_cel + 0.8 * rise * (1.0 + 0.1 * wear)
    )


def first_order(target: Floats, state: Floats, time_constant_s: float, step_s: float) -> tuple[Floats, Floats]:
    """Exact first-order response to a target held over each step.

    Parameters
    ----------
    target : array, shape [..., n_times]
    state : array, shape [...]
        Value at the last step of the previous chunk.
    time_constant_s, step_s : float

    Returns
    -------
    values : array, shape [..., n_times]
    state : array, shape [...]
        To hand to the next chunk; the split changes no value.
    """
    decay = float(np.exp(-step_s / time_constant_s))
    values, _ = lfilter([1.0 - decay], [1.0, -decay], target, axis=-1, zi=(decay * state)[..., np.newaxis])
    values = np.asarray(values)
    return values, values[..., -1].copy()
