"""One changed twin among 10,000, against compiling all of them anew."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.harness import Goal, Options, Result, UnequalError, rounded, seconds
from wheeltapper_api.kinds import AssetTwin, Resource
from wheeltapper_api.load import load
from wheeltapper_api.plan import Plan
from wheeltapper_operator.compile import Compiler, compile_plan

NAME: Final = "compile"
_STATION: Final = Path(__file__).parents[2] / "examples" / "pump-station"
_TWINS: Final = 10_000


def run(options: Options) -> Result:
    """Seconds until the plan is there."""
    resources = many(500 if options.quick else _TWINS)
    compiler = Compiler()
    plans = [compiler.compile(resources), compile_plan(resources)]
    size = len(_bytes(plans[0]))
    ours, peer = [], []
    for turn in range(options.rounds(7)):
        resources = _edited(resources, turn)
        del plans[:]  # the last ones' memory is not given back within a measurement
        ours.append(seconds(lambda now=resources: plans.append(compiler.compile(now))))
        peer.append(seconds(lambda now=resources: plans.append(compile_plan(now))))
        if _bytes(plans[0]) != _bytes(plans[1]):
            raise UnequalError("With one changed twin the plan is another than that of all twins compiled anew")
    count = sum(isinstance(one, AssetTwin) for one in resources)
    return Result(
        NAME,
        f"One changed twin among {count:,}",
        "s",
        ours,
        "after each change both plans are the same to the byte",
        better="lower",
        peer=peer,
        peer_name=f"all {count:,} twins compiled anew",
        goals=[
            Goal("one changed twin", median(ours), "s", most=0.05),
            Goal(f"all {count:,} twins", median(peer), "s", most=2),
        ],
        details={"twins": count, "planMiB": rounded(size / 2**20)},
    )


def many(count: int) -> list[Resource]:
    """The pump station of the examples with so many pumps."""
    resources = load([_STATION]).resources
    first = next(one for one in resources if isinstance(one, AssetTwin))
    others = [one for one in resources if not isinstance(one, AssetTwin)]
    twins = [
        first.model_copy(
            update={
                "metadata": first.metadata.model_copy(update={"name": f"p-{number}"}),
                "spec": first.spec.model_copy(update={"tag": f"P{number}"}),
            }
        )
        for number in range(count)
    ]
    return [*others, *twins]


def _edited(resources: list[Resource], turn: int) -> list[Resource]:
    """The resources with another tag for one twin, as an edited file brings it: one new object."""
    at = len(resources) - 1 - 37 * (turn + 1)
    twin = resources[at]
    changed = twin.model_copy(update={"spec": twin.spec.model_copy(update={"tag": f"X{turn}"})})
    return [*resources[:at], changed, *resources[at + 1 :]]


def _bytes(plan: Plan) -> bytes:
    return plan.model_dump_json().encode()
