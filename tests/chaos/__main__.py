"""``python -m tests.chaos --seed N [--kills 200] [--runs 4]``: kill and stop the line at random; it has to be exact.

Every run has a plant of its own (OPC UA, with and without a history, and MQTT), the line with a process for each role,
and a NATS server. Processes are ended with SIGKILL or held with SIGSTOP for a while; what they leave is compared with
what the plant measured, and its alerts with those of an undisturbed run of the same samples.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.attack import Orders, Result, attacked


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 1 if any run was not exact."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="any number; the same one attacks in the same way")
    parser.add_argument("--kills", type=int, default=200, help="in all runs together")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    given = parser.parse_args(arguments)
    began, results = time.monotonic(), []
    for run in range(given.runs):
        kills = given.kills // given.runs + (run < given.kills % given.runs)
        result = _run(Orders(given.seed * 1000 + run, kills))
        results.append(result)
        print(_line(run + 1, result), file=sys.stderr, flush=True)
        for name in ("missing", "doubled", "wrong", "alerts_differ"):
            for one in getattr(result.verdict, name)[:5]:
                print(f"  {name}: {one}", file=sys.stderr)
    exact = all(result.verdict.exact for result in results)
    document = {
        "seed": given.seed,
        "attacks": sum(count for result in results for kind, count in result.attacks.items() if "TERM" not in kind),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "exact": exact,
        "runs": [result.document() for result in results],
    }
    print(json.dumps(document) if given.output == "json" else _summary(document, results))
    return 0 if exact else 1


def _run(orders: Orders) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    result = asyncio.run(attacked(orders, folder))
    if result.verdict.exact:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"Everything of this run is kept in {folder}", file=sys.stderr)
    return result


def _line(number: int, result: Result) -> str:
    verdict = result.verdict
    found = "exact" if verdict.exact else "NOT EXACT"
    history = "with" if result.history else "without"
    return (
        f"run {number}: {sum(result.attacks.values())} attacks in {result.seconds:.0f} s, {history} history: {found}; "
        f"{verdict.samples} samples, {len(verdict.missing)} missing, {len(verdict.doubled)} doubled, "
        f"{len(verdict.wrong)} wrong; {result.gaps} gaps told, {result.recovered} recovered, "
        f"{verdict.ledgered} samples lost in them; {verdict.alerts} alert events, {len(verdict.alerts_differ)} differ"
    )


def _summary(document: dict[str, object], results: list[Result]) -> str:
    kinds: dict[str, int] = {}
    for result in results:
        for kind, count in result.attacks.items():
            kinds[kind] = kinds.get(kind, 0) + count
    lines = [f"{count:5}  {kind}" for kind, count in sorted(kinds.items())]
    found = "exact" if document["exact"] else "NOT EXACT"
    lines.append(f"{document['attacks']:5}  in {document['minutes']} min: {found}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
