"""Severity of growing faults as a function of time since the first live start."""

from __future__ import annotations

from typing import Literal

import numpy as np

from wheeltapper_workers.simulator.randomness import Floats, Ints
from wheeltapper_workers.simulator.scenario import Scenario

Kind = Literal["bearing-wear", "cavitation", "seal-leakage"]


def severity(scenario: Scenario, kind: Kind, epoch_s: int | None, time_s: Ints) -> Floats:
    """Severity 0..1 of one kind of fault, shape [n_assets, n_times].

    It grows linearly from the onset and stays at 1. Without an epoch the plant has never run live: nothing is faulty.
    """
    result = np.zeros((len(scenario.pumps), len(time_s)))
    if epoch_s is None:
        return result
    for fault in scenario.faults:
        if fault.kind == kind:
            asset = scenario.assets.index(fault.asset)
            grown = (time_s - epoch_s - fault.start_ns / 1e9) / (fault.growth_ns / 1e9)
            result[asset] = np.maximum(result[asset], np.clip(grown, 0.0, 1.0))
    return result
