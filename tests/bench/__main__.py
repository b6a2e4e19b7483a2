"""``python -m tests.bench [NAME...]``: benchmarks, each one JSON line; ``report`` writes the page from the newest."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.bench import machine, report
from tests.bench.harness import CannotRunError, Options, Result, UnequalError

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"

# In the order of the page. A module has ``run(options)`` and is imported when its turn comes.
BENCHMARKS: Final = {
    "features": "features",
    "onnx": "onnx",
    "compile": "recompile",
    "decode": "decode",
    "storage": "storage",
    "opcua": "opcua",
    "mqtt": "mqtt",
    "latency": "latency",
    "replay": "replay",
    "instrumentation": "instrumentation",
    "footprint": "footprint",
    "soak": "soak",
    "skab": "skab_line",
}

LONG: Final = ("soak",)
"""Run only where they are named."""


def main() -> int:
    """Run what is asked for; a benchmark that cannot run here is said and passed over."""
    options = _arguments()
    if options.names == ["report"]:
        report.write(RESULTS, PAGE, list(BENCHMARKS))
        _tell(f"Wrote {PAGE.name} from {len(list(RESULTS.glob('*.json')))} results")
        return 0
    failed = 0
    for name in options.names or [name for name in BENCHMARKS if name not in LONG]:
        try:
            document = measure(name, Options(quick=options.quick, repeat=options.repeat))
        except CannotRunError as error:
            _tell(f"{name}: left out. {error}")
        except UnequalError as error:
            _tell(f"{name}: not measured. {error}")
            failed += 1
        else:
            _print(document, options.output)
            if not options.quick:
                keep(name, document)
    return 1 if failed else 0


def measure(name: str, options: Options) -> dict[str, Any]:
    """Document of one benchmark."""
    module = import_module(f"tests.bench.{BENCHMARKS[name]}")
    surroundings = machine.Surroundings()
    result: Result = module.run(options)
    return result.document(surroundings)


def keep(name: str, document: dict[str, Any]) -> None:
    """Keep a result for the page."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition(":")[2])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; or report alone")
    parser.add_argument("--output", choices=["json", "text"], default="json", help="json: one line each (default)")
    parser.add_argument("--repeat", type=int, help="runs of each side")
    parser.add_argument("--quick", action="store_true", help="small runs to see that all works; figures are not kept")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown and options.names != ["report"]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options


def _print(document: dict[str, Any], output: str) -> None:
    text = json.dumps(document, allow_nan=False) if output == "json" else report.line(document)
    print(text, flush=True)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
