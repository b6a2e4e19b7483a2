"""A scenario file as a plant: of pumps with a script, or of machines of any class."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wheeltapper_workers.simulator.errors import ScenarioError
from wheeltapper_workers.simulator.fleet.live import FleetPlant
from wheeltapper_workers.simulator.fleet.scenario import FleetScenario
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.served import Plant
from wheeltapper_workers.simulator.station import PumpStation


def load_plant(path: Path) -> Plant:
    """Read the plant of a scenario file.

    Raises
    ------
    ScenarioError
        As :func:`load_scenario`.
    """
    scenario = load_scenario(path)
    return PumpStation(scenario) if isinstance(scenario, Scenario) else FleetPlant(scenario)


def load_scenario(path: Path) -> Scenario | FleetScenario:
    """Read a scenario from a YAML file: one with ``pumps``, or one whose areas have ``machines``.

    Raises
    ------
    ScenarioError
        If the file is missing, is not YAML, or does not describe a scenario; the message names file and field.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise ScenarioError(f"Scenario {path} cannot be read: {error.strerror}. Check the path.") from error
    except YAMLError as error:
        raise ScenarioError(f"Scenario {path} is not valid YAML: {error}") from error
    areas = document.get("areas") if isinstance(document, dict) else None
    of_machines = isinstance(areas, list) and any(isinstance(area, dict) and "machines" in area for area in areas)
    try:
        return (FleetScenario if of_machines else Scenario).model_validate(document)
    except ValidationError as error:
        found = [f"  {'.'.join(map(str, entry['loc'])) or 'scenario'}: {entry['msg']}" for entry in error.errors()]
        raise ScenarioError(f"Scenario {path} is not valid:\n" + "\n".join(found)) from error
