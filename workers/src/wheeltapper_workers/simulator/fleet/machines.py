"""The machines of a fleet. Formulas and sources are told in ``docs/simulator.md``."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from wheeltapper_workers.simulator import pump as hydraulics
from wheeltapper_workers.simulator.fleet.base import (
    TRIPPED,
    Burst,
    Conditions,
    Machine,
    Memory,
    Rows,
    Signal,
    friction_heat,
    state_of,
    velocity,
)
from wheeltapper_workers.simulator.randomness import Floats

_POWER: Final = 0.004
"""Noise of power and current transmitters, as a share."""
_TEN_MINUTES_S: Final = 600
"""Between two counts."""


def _vibration(*names: str) -> tuple[Signal, ...]:
    return tuple(Signal(name, 3, share=0.05, floor=0.004) for name in names)


def _temperatures(*names: str) -> tuple[Signal, ...]:
    return tuple(Signal(name, 2, floor=0.12) for name in names)


_AMBIENT: Final = Signal("ambient-temperature", 2, floor=0.03)
_HOURS: Final = Signal("running-hours", 3, every_s=_TEN_MINUTES_S)
_STARTS: Final = Signal("starts", 0, every_s=_TEN_MINUTES_S)
_STATE: Final = Signal("state", 0, on_change=True)


def _ambient(conditions: Conditions) -> Floats:
    return np.broadcast_to(conditions.ambient_cel, conditions.speed.shape)


def _shaft_hz(rows: Rows) -> Floats:
    return rows["speed"] / 60.0


def _rotor_burst(c: Conditions, rows: Rows, load: Floats, **more: Floats) -> Burst:
    """Vibration of a rotor on rolling bearings: 1x from unbalance, 2x and 3x from misalignment, impacts, noise."""
    rough = 0.30 + 0.10 * load + 0.45 * c.of("lubricant-degradation") + 0.25 * c.of("bearing-wear")
    return Burst(
        speed_hz=_shaft_hz(rows),
        turning=c.turning,
        once_mm_s=c.speed**2 * (c.build("once", 0.6, 1.0) + 5.5 * c.of("unbalance")),
        twice_mm_s=c.speed**2 * (c.build("twice", 0.15, 0.3) + 4.0 * c.of("misalignment")),
        impacts_m_s2=14.0 * c.of("bearing-wear"),
        noise_m_s2=rough + more.get("noise", np.zeros_like(rough)),
        mesh_hz=more.get("mesh_hz", np.zeros_like(rough)),
        mesh_m_s2=more.get("mesh", np.zeros_like(rough)),
    )


def _rotor_velocity(c: Conditions, load: Floats, base: Floats, end: float = 1.0) -> Floats:
    """RMS velocity at a bearing; faults reach ISO 20816 zone D at severity 1."""
    wear = end * c.of("bearing-wear") ** 1.5
    parts = (5.5 * c.of("unbalance"), end * 4.4 * c.of("misalignment"), 4.0 * base * wear)
    rough = 1.0 + 0.02 * c.wander("roughness", 600)
    return velocity(c, base, load, *parts) * rough


class CentrifugalPump:
    """Hydraulics of :mod:`~wheeltapper_workers.simulator.pump`, with a mechanical seal and bursts."""

    kind = "centrifugal-pump"
    waveform = "waveform-de"
    faults = ("bearing-wear", "misalignment", "unbalance", "cavitation", "seal-leakage", "lubricant-degradation")
    signals = (
        *_vibration("vibration-de", "vibration-nde"),
        *_temperatures("bearing-temperature-de", "bearing-temperature-nde"),
        Signal("flow", 2, share=0.005),
        Signal("suction-pressure", 4, floor=0.006),
        Signal("discharge-pressure", 4, 0.002, 0.002),
        Signal("power", 3, share=_POWER),
        Signal("current", 2, share=_POWER),
        Signal("speed", 1, share=0.0003),
        Signal("seal-leakage", 2, share=0.05, floor=0.3),
        _AMBIENT,
        _HOURS,
        _STARTS,
        _STATE,
        Signal("low-suction-alarm", 0, on_change=True),
    )

    def operate(self, c: Conditions, memory: Memory) -> Rows:
        """Operating point, motor, bearings and seal."""
        design = hydraulics.Design(
            vibration_bep_mm_s=c.build("build-vibration", 1.25, 1.55), bearing_rise_k=c.build("build-bearing", 22, 26)
        )
        level = design.suction_level_m + 0.1 * c.wander("level", 600)
        demand = c.load * (1.0 + 0.01 * c.wander("demand", 60))
        point = hydraulics.operating_point(c.speed, demand, c.of("cavitation"), level, design)
        running = (c.speed > 0.98).astype(np.float64) + (c.speed <= 0.98) * c.turning
        shaft = hydraulics.shaft_power_kw(point.flow_m3_h, c.speed, 0.3 * c.of("bearing-wear"), design)
        power = hydraulics.motor_power_kw(shaft, running, design)
        q = hydraulics.relative_flow(point.flow_m3_h, c.speed, design)
        de, nde = hydraulics.vibration_mm_s(q, c.speed, c.of("bearing-wear"), point.cavitation, design)
        extra = np.hypot(5.5 * c.of("unbalance"), 4.4 * c.of("misalignment")) * c.speed**2
        rough = 1.0 + 0.025 * c.wander("roughness", 60)
        heat = friction_heat(c, q, c.of("bearing-wear") + 0.25 * c.of("misalignment"), c.of("lubricant-degradation"))
        heat_nde = friction_heat(c, q, 0.05 * c.of("bearing-wear"), c.of("lubricant-degradation"))
        rise = design.bearing_rise_k
        bar = hydraulics.PA_PER_M / hydraulics.PA_PER_BAR
        suction = hydraulics.suction_head_m(point.npsh_available_m)
        leak = c.build("leak", 4.0, 9.0) * c.speed * (1.0 + 0.1 * c.wander("leak", 3600)) + 180.0 * c.of("seal-leakage")
        return {
            "vibration-de": np.hypot(de, extra) * rough,
            "vibration-nde": np.hypot(nde, 0.75 * extra) * rough,
            "bearing-temperature-de": memory.lagged("de", _ambient(c) + rise * heat, 420.0),
            "bearing-temperature-nde": memory.lagged("nde", _ambient(c) + 0.8 * rise * heat_nde, 420.0),
            "flow": point.flow_m3_h,
            "suction-pressure": suction * bar,
            "discharge-pressure": (suction + point.head_m) * bar,
            "power": power,
            "current": hydraulics.motor_current_a(power, running, design),
            "speed": hydraulics.shaft_speed_min(c.speed, shaft, design),
            "seal-leakage": leak,
            "ambient-temperature": _ambient(c),
            "running-hours": memory.hours(),
            "starts": memory.rises("starts", c.turning),
            "state": state_of(c, memory),
            "low-suction-alarm": (suction * bar < -0.55).astype(np.float64) * c.turning,
            "cavitation": point.cavitation,
        }

    def burst(self, c: Conditions, rows: Rows) -> Burst:
        """Rotor and cavitation, a broad noise of collapsing bubbles."""
        return _rotor_burst(c, rows, c.load, noise=2.5 * rows["cavitation"])


class InductionMotor:
    """Three-phase squirrel-cage motor, 55 kW, four poles."""

    kind = "induction-motor"
    waveform = "waveform-de"
    faults = ("bearing-wear", "misalignment", "unbalance", "thermal-overload", "lubricant-degradation")
    signals = (
        *_vibration("vibration-de", "vibration-nde"),
        *_temperatures("bearing-temperature-de", "bearing-temperature-nde", "winding-temperature"),
        Signal("current", 2, share=_POWER),
        Signal("voltage", 1, share=0.002),
        Signal("power", 3, share=_POWER),
        Signal("speed", 1, share=0.0003),
        _AMBIENT,
        _HOURS,
        _STARTS,
        _STATE,
        Signal("overload-alarm", 0, on_change=True),
    )
    rated_kw, rated_slip, synchronous_min, magnetising = 55.0, 0.0133, 1500.0, 0.5

    def operate(self, c: Conditions, memory: Memory) -> Rows:
        """Slip in proportion to torque; copper losses with the square of the current heat the winding."""
        torque = c.load * (1.0 + 0.01 * c.wander("demand", 60))
        running = c.turning
        shaft = self.rated_kw * torque * c.speed
        voltage = 400.0 * (1.0 + 0.01 * c.wander("voltage", 1800)) * running
        losses = self.rated_kw * (0.025 + 0.040 * torque**2) * running
        power = shaft + losses
        active = 1000.0 * power / (np.sqrt(3.0) * 400.0)
        rated = 1000.0 * self.rated_kw * 1.065 / (np.sqrt(3.0) * 400.0)
        current = np.hypot(active, self.magnetising * rated * running) * running
        # Blocked air ways carry less heat off: the rise at the same losses doubles at severity 1.
        rise = c.build("winding-rise", 58.0, 70.0) * (current / (1.12 * rated)) ** 2 * (1.0 + c.of("thermal-overload"))
        heat = friction_heat(
            c, torque, c.of("bearing-wear") + 0.3 * c.of("misalignment"), c.of("lubricant-degradation")
        )
        heat_nde = friction_heat(c, torque, 0.05 * c.of("bearing-wear"), c.of("lubricant-degradation"))
        base = c.build("base", 0.9, 1.3)
        bearing = c.build("bearing-rise", 24.0, 30.0)
        winding = memory.lagged("winding", _ambient(c) + rise, 1500.0)
        return {
            "vibration-de": _rotor_velocity(c, torque, base),
            "vibration-nde": _rotor_velocity(c, torque, 0.8 * base, 0.4),
            "bearing-temperature-de": memory.lagged("de", _ambient(c) + bearing * heat, 900.0),
            "bearing-temperature-nde": memory.lagged("nde", _ambient(c) + 0.85 * bearing * heat_nde, 900.0),
            "winding-temperature": winding,
            "current": current,
            "voltage": voltage,
            "power": power,
            "speed": self.synchronous_min * c.speed * (1.0 - self.rated_slip * torque),
            "ambient-temperature": _ambient(c),
            "running-hours": memory.hours(),
            "starts": memory.rises("starts", c.turning),
            "state": state_of(c, memory),
            "overload-alarm": (winding > 140.0).astype(np.float64),
        }

    def burst(self, c: Conditions, rows: Rows) -> Burst:
        """Rotor."""
        return _rotor_burst(c, rows, c.load)


class Fan:
    """Radial fan with a speed-controlled drive, 30 kW at 1,480/min."""

    kind = "fan"
    waveform = "waveform-de"
    faults = ("unbalance", "bearing-wear", "misalignment", "lubricant-degradation")
    signals = (
        *_vibration("vibration-de", "vibration-nde"),
        *_temperatures("bearing-temperature-de"),
        Signal("flow", 0, share=0.01),
        Signal("pressure-rise", 0, 0.01, 4.0),
        Signal("power", 3, share=_POWER),
        Signal("current", 2, share=_POWER),
        Signal("speed", 1, share=0.0005),
        _AMBIENT,
        _HOURS,
        _STATE,
    )
    rated_min, rated_flow_m3_h, rated_pa, rated_kw = 1480.0, 40_000.0, 1800.0, 27.0

    def operate(self, c: Conditions, memory: Memory) -> Rows:
        """Affinity laws: flow with speed, pressure with its square, power with its cube; density with temperature."""
        speed = c.speed * c.load
        damper = 1.0 + 0.02 * c.wander("damper", 600)
        density = 293.15 / (273.15 + c.ambient_cel)
        power = self.rated_kw * speed**3 * density * (0.9 + 0.1 * damper) + 0.4 * c.turning
        turning = replace(c, speed=speed, load=np.ones_like(speed))
        base = c.build("base", 1.0, 1.5)
        heat = friction_heat(
            turning, turning.load, c.of("bearing-wear") + 0.3 * c.of("misalignment"), c.of("lubricant-degradation")
        )
        active = 1000.0 * power / (np.sqrt(3.0) * 400.0)
        return {
            "vibration-de": _rotor_velocity(turning, turning.load, base),
            "vibration-nde": _rotor_velocity(turning, turning.load, 0.8 * base, 0.4),
            "bearing-temperature-de": memory.lagged("de", _ambient(c) + c.build("rise", 18, 24) * heat, 900.0),
            "flow": self.rated_flow_m3_h * speed * damper,
            "pressure-rise": self.rated_pa * speed**2 * density / damper,
            "power": power,
            "current": np.hypot(active, 14.0 * c.turning),
            "speed": self.rated_min * speed,
            "ambient-temperature": _ambient(c),
            "running-hours": memory.hours(),
            "state": state_of(c, memory),
        }

    def burst(self, c: Conditions, rows: Rows) -> Burst:
        """Rotor, at the drive's speed."""
        speed = c.speed * c.load
        turning = replace(c, speed=speed, load=np.ones_like(speed))
        return _rotor_burst(turning, rows, turning.load)


class Compressor:
    """Oil-injected screw compressor, 75 kW, between load and idle by the demand for air."""

    kind = "compressor"
    waveform = "waveform-de"
    faults = ("bearing-wear", "thermal-overload", "lubricant-degradation", "seal-leakage")
    signals = (
        Signal("intake-pressure", 4, floor=0.002),
        Signal("discharge-pressure", 3, floor=0.01),
        *_temperatures("discharge-temperature", "oil-temperature"),
        Signal("oil-pressure", 3, floor=0.01),
        Signal("separator-pressure-drop", 3, floor=0.004),
        Signal("flow", 3, share=0.01),
        Signal("power", 3, share=_POWER),
        Signal("current", 2, share=_POWER),
        Signal("speed", 1, share=0.0003),
        *_vibration("vibration-de"),
        *_temperatures("bearing-temperature-de"),
        _AMBIENT,
        _HOURS,
        Signal("load-cycles", 0, every_s=_TEN_MINUTES_S),
        Signal("state", 0, on_change=True),
        Signal("high-temperature-alarm", 0, on_change=True),
    )
    rated_flow_m3_min, rated_min, exponent, efficiency = 13.0, 2970.0, 1.4, 0.72

    def operate(self, c: Conditions, memory: Memory) -> Rows:
        """Compression work of a perfect gas; the injected oil takes most of the heat and gives it to the cooler."""
        # Demand above 0.85 keeps it loaded; below, it idles for part of each half hour.
        phase = (c.time_s % 1800) / 1800.0
        loaded = c.turning * (phase < np.clip((c.load - 0.6) / 0.25 * 0.5 + 0.5, 0.5, 1.0))
        tight = 1.0 - 0.35 * c.of("seal-leakage")
        intake, discharge = 0.99 + 0.003 * c.wander("intake", 3600), 8.0 + 0.15 * c.wander("net", 1200)
        ratio = discharge / intake
        flow = self.rated_flow_m3_min * tight * loaded * c.speed
        n = self.exponent
        work = n / (n - 1.0) * (ratio ** ((n - 1.0) / n) - 1.0) * 1e5 * intake / 1000.0
        full = self.rated_flow_m3_min / 60.0 * work / self.efficiency * (1.0 + 0.06 * c.of("lubricant-degradation"))
        power = c.turning * (np.where(loaded > 0, full, 0.28 * full) + 1.0)
        # Oil returns from the cooler; a fouled cooler leaves it hotter, and so does recompressed leakage.
        cooler = _ambient(c) + 42.0 * loaded + 24.0 * (1.0 - loaded) * c.turning
        oil = cooler + 32.0 * c.of("thermal-overload") * c.turning + 9.0 * c.of("seal-leakage") * loaded
        oil_cel = memory.lagged("oil", oil, 900.0)
        out = oil_cel + c.turning * (13.0 + 7.0 * loaded + 8.0 * c.of("seal-leakage") * loaded)
        hot = memory.lagged("discharge", out, 120.0)
        wear = c.of("bearing-wear")
        base = c.build("base", 1.6, 2.2)
        heat = friction_heat(c, 0.4 + 0.6 * loaded, wear, 1.3 * c.of("lubricant-degradation"))
        separator = 0.22 * loaded * (1.0 + 1.4 * c.of("lubricant-degradation")) + 0.03 * c.turning
        active = 1000.0 * power / (np.sqrt(3.0) * 400.0)
        return {
            "intake-pressure": intake,
            "discharge-pressure": np.where(loaded > 0, discharge, 1.8 + 0.2 * c.turning),
            "discharge-temperature": hot,
            "oil-temperature": oil_cel,
            "oil-pressure": np.where(
                loaded > 0, discharge - 1.4 - 0.5 * c.of("lubricant-degradation"), 1.2 * c.turning
            ),
            "separator-pressure-drop": separator,
            "flow": flow,
            "power": power,
            "current": np.hypot(active, 38.0 * c.turning),
            "speed": self.rated_min * c.speed,
            "vibration-de": velocity(c, base, 0.4 + 0.6 * loaded, 3.0 * base * wear**1.5),
            "bearing-temperature-de": memory.lagged("de", _ambient(c) + c.build("rise", 30, 36) * heat, 700.0),
            "ambient-temperature": _ambient(c),
            "running-hours": memory.hours(),
            "load-cycles": memory.rises("cycles", loaded),
            "state": np.where(hot > 118.0, TRIPPED, np.where(loaded > 0, 2.0, c.turning)),
            "high-temperature-alarm": (hot > 110.0).astype(np.float64),
        }

    def burst(self, c: Conditions, rows: Rows) -> Burst:
        """Rotor with the mesh of four lobes."""
        hertz = 4.0 * _shaft_hz(rows)
        return _rotor_burst(c, rows, c.load, mesh_hz=hertz, mesh=np.full_like(hertz, 1.2))


class Conveyor:
    """Belt conveyor with motor, gearbox and drum: 90 kW, 400 t/h."""

    kind = "conveyor"
    waveform = "waveform-gearbox"
    faults = ("bearing-wear", "misalignment", "lubricant-degradation", "thermal-overload")
    signals = (
        Signal("belt-speed", 4, share=0.002),
        Signal("drum-speed", 2, share=0.001),
        Signal("throughput", 1, share=0.02),
        Signal("current", 2, share=_POWER),
        Signal("power", 3, share=_POWER),
        *_temperatures("gearbox-temperature", "bearing-temperature-de"),
        *_vibration("vibration-gearbox"),
        _AMBIENT,
        _HOURS,
        _STATE,
        Signal("product", 0, on_change=True, texts=("gravel", "sand", "ore")),
    )
    belt_m_s, drum_m, capacity_t_h, length_m, lift_m, motor_min = 2.5, 0.8, 400.0, 300.0, 18.0, 1480.0

    def operate(self, c: Conditions, memory: Memory) -> Rows:
        """Resistance after DIN 22101: friction of belt and load along the length, and the lift of the load."""
        mass = self.capacity_t_h * c.load * (1.0 + 0.04 * c.wander("feed", 60)) / 3.6
        belt = self.belt_m_s * c.speed * (1.0 - 0.004 * c.load)
        load_kg_m = np.divide(mass, belt, out=np.zeros_like(mass), where=belt > 0.1)
        friction = 0.022 * (1.0 + 0.25 * c.of("lubricant-degradation") + 0.20 * c.of("misalignment"))
        force = 9.81 * (friction * self.length_m * (60.0 + load_kg_m) + load_kg_m * self.lift_m) + 900.0
        power = c.turning * (force * belt / 1000.0 / 0.90 + 1.5)
        share = power / 75.0
        wear = c.of("bearing-wear") + 0.3 * c.of("misalignment")
        heat = friction_heat(c, share, wear, c.of("lubricant-degradation"))
        loss = c.speed * (0.4 + 0.6 * share) * (1.0 + 0.7 * c.of("lubricant-degradation"))
        gearbox = _ambient(c) + c.build("gear-rise", 26, 32) * loss + 48.0 * c.of("thermal-overload") * c.turning
        base = c.build("base", 1.4, 2.0)
        active = 1000.0 * power / (np.sqrt(3.0) * 400.0)
        return {
            "belt-speed": belt,
            "drum-speed": 60.0 * self.belt_m_s * c.speed / (np.pi * self.drum_m),
            "throughput": 3.6 * mass * c.turning,
            "current": np.hypot(active, 45.0 * c.turning),
            "power": power,
            "gearbox-temperature": memory.lagged("gearbox", gearbox, 2400.0),
            "bearing-temperature-de": memory.lagged("de", _ambient(c) + c.build("rise", 20, 26) * heat, 1200.0),
            "vibration-gearbox": _rotor_velocity(c, share, base),
            "ambient-temperature": _ambient(c),
            "running-hours": memory.hours(),
            "state": state_of(c, memory),
            "product": np.floor(2.999 * (0.5 + 0.2 * c.wander("product", 28_800)).clip(0.0, 1.0)),
            "speed": np.broadcast_to(self.motor_min, c.speed.shape) * c.speed,
        }

    def burst(self, c: Conditions, rows: Rows) -> Burst:
        """Motor shaft with the mesh of a 23-tooth pinion."""
        hertz = 23.0 * _shaft_hz(rows)
        mesh = 1.5 * (1.0 + 0.5 * c.of("lubricant-degradation"))
        return _rotor_burst(c, rows, c.load, mesh_hz=hertz, mesh=mesh)


class InjectionMoldingMachine:
    """Hydraulic injection molding machine; signals are formed once a cycle and held."""

    kind = "injection-molding-machine"
    waveform = ""
    faults = ("seal-leakage", "lubricant-degradation", "bearing-wear", "thermal-overload")
    signals = (
        Signal("cycle-time", 2, share=0.004),
        Signal("cycle-count", 0, every_s=_TEN_MINUTES_S),
        Signal("injection-pressure", 1, share=0.006),
        Signal("injection-time", 3, share=0.006),
        Signal("cushion", 3, floor=0.06),
        Signal("clamp-force", 1, share=0.003),
        *_temperatures("barrel-temperature", "oil-temperature"),
        Signal("oil-pressure", 2, share=0.006),
        Signal("power", 3, share=0.01),
        *_vibration("vibration-de"),
        *_temperatures("bearing-temperature-de"),
        _AMBIENT,
        Signal("state", 0, on_change=True),
        Signal("recipe", 0, on_change=True, texts=("cap-28", "cup-200", "lid-95")),
        Signal("heater-alarm", 0, on_change=True),
    )

    def operate(self, c: Conditions, memory: Memory) -> Rows:
        """Pressure by the melt's viscosity (Arrhenius in temperature); a leaking check ring eats the cushion."""
        leak, oil_bad = c.of("seal-leakage"), c.of("lubricant-degradation")
        on = c.turning
        barrel = memory.lagged("barrel", 25.0 + 205.0 * on, 1800.0) + 0.8 * c.wander("barrel", 600) * on
        viscosity = np.exp(4500.0 * (1.0 / (273.15 + np.maximum(barrel, 150.0)) - 1.0 / 503.15))
        pressure = on * 950.0 * viscosity**0.7 * (1.0 - 0.06 * leak)
        cushion = on * (6.0 - 3.2 * leak + (0.15 + 0.9 * leak) * c.noise("cushion-cycle"))
        hydraulic = on * (145.0 + 2.0 * c.wander("oil-pressure", 900)) * (1.0 - 0.03 * oil_bad)
        power = on * 22.0 * hydraulic / 145.0 * (1.0 + 0.16 * oil_bad + 0.03 * leak) + 1.5 * on
        oil = _ambient(c) + on * (c.build("oil-rise", 20, 24) + 9.0 * oil_bad + 26.0 * c.of("thermal-overload"))
        wear = c.of("bearing-wear")
        heat = friction_heat(c, np.ones_like(on), wear, 0.4 * oil_bad)
        base = c.build("base", 1.2, 1.8)
        cycle = 12.0 + 0.2 * c.wander("cycle", 1800) + 0.5 * leak
        return {
            "cycle-time": cycle * on,
            "cycle-count": np.floor(memory.counted("count", on * c.step_s / cycle)),
            "injection-pressure": pressure,
            "injection-time": on * 0.85 * viscosity**0.25,
            "cushion": cushion,
            "clamp-force": on * 1200.0 * (1.0 - 0.01 * oil_bad),
            "barrel-temperature": barrel,
            "oil-temperature": memory.lagged("oil", oil, 2400.0),
            "oil-pressure": hydraulic,
            "power": power,
            "vibration-de": velocity(c, base, np.ones_like(on), 3.5 * base * wear**1.2)
            * (1.0 + 0.02 * c.wander("roughness", 600)),
            "bearing-temperature-de": memory.lagged("de", _ambient(c) + c.build("rise", 20, 24) * heat, 700.0),
            "ambient-temperature": _ambient(c),
            "state": 2.0 * on,
            "recipe": np.floor(2.999 * (0.5 + 0.2 * c.wander("recipe", 43_200)).clip(0.0, 1.0)),
            "heater-alarm": np.zeros_like(on),
        }

    def burst(self, c: Conditions, rows: Rows) -> Burst:
        """It has no waveform."""
        raise NotImplementedError(f"{self.kind} takes no bursts")


MACHINES: Final[dict[str, Machine]] = {
    machine.kind: machine
    for machine in (
        CentrifugalPump(),
        InductionMotor(),
        Fan(),
        Compressor(),
        Conveyor(),
        InjectionMoldingMachine(),
    )
}
"""Every class of machine by name."""
