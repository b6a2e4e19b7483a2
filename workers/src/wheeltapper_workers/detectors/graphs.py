"""Builds detectors as ONNX graphs. All have one signature, so the scorer treats them alike.

==============  =================  =====================================================================================
tensor          shape              meaning
==============  =================  =====================================================================================
``values``      float64 [T, N, F]  features, in the model's units; NaN where there is no good value
``active``      bool [T, N]        the asset is there and in a mode in which the model answers
``mode``        int64 [T, N]       operating mode (with its load band), an index into the baseline's M
``center``      float64 [N, M, F]  learned baseline: median; NaN while it is not learned
``spread``      float64 [N, M, F]  learned baseline: robust standard deviation; NaN while it is not learned
``state``       float64 [N, S, F]  what the detector remembers between calls; zeros at the start
``score``       float64 [T, N]     0 or more, 1.0 at the limit; NaN if not active, an input or a baseline missing
``deviation``   float64 [T, N, F]  signed, 1.0 in size at the limit, whatever the direction; NaN where there is none
``expected``    float64 [T, N, F]  the baseline's center in that mode, or the normal value of a fixed limit
``state_out``   float64 [N, S, F]  ``state`` for the next call
==============  =================  =====================================================================================

T windows in sequence, N assets, F inputs, M modes; F and S are fixed in the graph, the others are free. Cutting T into
calls or N into batches changes no bit: every operation works element by element, F is reduced by minimum or maximum
(exact in any order), and the recurrence is a ``Scan``, one step a window.

A value that is infinite, a mode outside 0 ... M-1 and a spread that is not positive count as missing.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from wheeltapper_api.kinds.failuremodel import Combine, Direction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, DTypeLike
    from onnx import GraphProto, NodeProto

    Shape = list[str | int | None]

OPSET: Final = 21
"""Version of the ONNX operators. Pinned: another one is another digest, so another model."""
IR_VERSION: Final = 10
"""Version of the ONNX file format that belongs to the operators."""

_DOUBLE: Final = TensorProto.DOUBLE
_BOOL: Final = TensorProto.BOOL
_INT64: Final = TensorProto.INT64


def digest(model_bytes: bytes) -> str:
    """Return the model's identity in every lineage: ``sha256:`` and the hexadecimal hash of its bytes."""
    return "sha256:" + hashlib.sha256(model_bytes).hexdigest()


def fixed_limit(normal: Sequence[float], limit: Sequence[float], combine: Combine | str = Combine.ANY) -> bytes:
    """Build a detector of distance from a normal value towards a limit, as standards and makers state them.

    An input's deviation is ``(x - normal) / (limit - normal)``: 0 at ``normal``, 1 at ``limit``, negative on the other
    side. The baseline is not looked at, and nothing is remembered (S = 0).

    Parameters
    ----------
    normal, limit : sequence of float [F]
        In the inputs' units; a limit below its normal value is one that the input falls to.
    combine : Combine
        ``any``: the input nearest to its limit decides; ``all``: the one farthest from it.

    Raises
    ------
    ValueError
        Without inputs, with lists of unequal length, or with a normal value that is its limit or not finite.
    """
    if not normal or len(normal) != len(limit):
        raise ValueError(f"Give one normal value and one limit for each input, not {len(normal)} and {len(limit)}")
    for position, (low, high) in enumerate(zip(normal, limit, strict=True)):
        if not math.isfinite(high - low) or low == high:
            raise ValueError(f"Limit {high} of input {position} must be finite and differ from its normal value {low}")
    combine = Combine(combine)
    build = _Builder(len(normal), state_rows=0)
    centre = build.constant("normal", normal)
    build.node("Expand", [centre, build.node("Shape", ["values"])], "expected")
    deviation = build.node(
        "Div", [build.node("Sub", ["values", centre]), build.constant("range", np.subtract(limit, normal))]
    )
    build.node("Identity", ["state"], "state_out")
    build.finish(deviation, "is_active", [Direction.UP] * len(normal), combine)
    parameters = {"normal": list(map(float, normal)), "limit": list(map(float, limit)), "combine": combine.value}
    return build.model("fixed-limit", parameters)


def robust_z(limit: float, direction: Sequence[Direction | str], combine: Combine | str = Combine.ANY) -> bytes:
    """Build a detector of distance from this machine's healthy median, in robust standard deviations.

    With ``z = (x - center) / spread`` an input's deviation is ``z / limit`` (Iglewicz and Hoaglin 1993, where the
    spread is 1.4826 times the median absolute deviation). Nothing is remembered (S = 0).

    Parameters
    ----------
    limit : float
        Robust standard deviations at which the score is 1.
    direction : sequence of Direction [F]
        For each input the way that counts: ``up``, ``down`` or ``either``.
    combine : Combine
        ``any``: the largest deviation decides; ``all``: the smallest.

    Raises
    ------
    ValueError
        Without inputs, with an unknown direction, or with a limit that is not positive and finite.
    """
    directions, combine = _checked(limit, direction, combine)
    build = _Builder(len(directions), state_rows=0)
    z, present = build.standardised()
    build.node("Identity", ["state"], "state_out")
    build.finish(build.node("Div", [z, build.constant("limit", limit)]), present, directions, combine)
    parameters = {"limit": float(limit), "direction": [d.value for d in directions], "combine": combine.value}
    return build.model("robust-z", parameters)


def ewma(
    lambda_: float, limit: float, direction: Sequence[Direction | str], combine: Combine | str = Combine.ANY
) -> bytes:
    """Build an exponentially weighted moving average chart on standardised inputs, for small lasting shifts.

    With z as in :func:`robust_z`, ``e = (1 - lambda) e + lambda z`` from 0, and an input's deviation is
    ``e / (limit * sqrt(lambda / (2 - lambda)))``: the control limits of the settled chart (Roberts 1959; Lucas and
    Saccucci 1990). An input's average is held while the asset is not active or the input or its baseline is missing.
    ``state`` is e (S = 1). It stays finite, because it lies between its former value and a finite z.

    Parameters
    ----------
    lambda_ : float
        Weight of the newest window, above 0 and at most 1 (then the chart is Shewhart's).
    limit : float
        Control limit L, in standard deviations of the average.
    direction, combine
        As for :func:`robust_z`.

    Raises
    ------
    ValueError
        As for :func:`robust_z`, or with a lambda outside its range.
    """
    if not 0 < lambda_ <= 1:
        raise ValueError(f"Lambda {lambda_} must be above 0 and at most 1")
    directions, combine = _checked(limit, direction, combine)
    build = _Builder(len(directions), state_rows=1)
    z, present = build.standardised()
    average = build.averaged(z, present, lambda_)
    bound = build.constant("bound", limit * math.sqrt(lambda_ / (2 - lambda_)))
    build.finish(build.node("Div", [average, bound]), present, directions, combine)
    parameters = {
        "lambda": float(lambda_),
        "limit": float(limit),
        "direction": [d.value for d in directions],
        "combine": combine.value,
    }
    return build.model("ewma", parameters)


def _checked(
    limit: float, direction: Sequence[Direction | str], combine: Combine | str
) -> tuple[list[Direction], Combine]:
    """Return the directions and the combination as enumerations, or raise what is wrong with a detector's words."""
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"Limit {limit} must be a positive number of standard deviations")
    if isinstance(direction, str) or not direction:
        raise ValueError("Give one direction for each input, and at least one input")
    return [Direction(one) for one in direction], Combine(combine)


class _Builder:
    """Collects nodes in a fixed order under numbered names, so equal parameters give equal bytes."""

    def __init__(self, inputs: int, state_rows: int) -> None:
        self.inputs = inputs
        self.state_rows = state_rows
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.node("Unsqueeze", ["active", self.constant("last_axis", [-1], np.int64)], "is_active")

    def constant(self, name: str, value: ArrayLike, dtype: DTypeLike = np.float64) -> str:
        """Add a constant, once: a name means one value throughout a graph."""
        if all(tensor.name != name for tensor in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add an operation with one output and return the output's name."""
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def both(self, first: str, *others: str) -> str:
        """Return the conjunction, broadcast."""
        for other in others:
            first = self.node("And", [first, other])
        return first

    def finite(self, tensor: str) -> str:
        """Return where a tensor is neither NaN nor infinite: there, and only there, x - x is 0."""
        return self.node("Not", [self.node("IsNaN", [self.node("Sub", [tensor, tensor])])])

    def standardised(self) -> tuple[str, str]:
        """Return z [T, N, F] and where it may be used; also makes ``expected``."""
        row, inside = self._row()
        centre = self.node("Gather", [self._flat("center"), row], axis=0)
        spread = self.node("Gather", [self._flat("spread"), row], axis=0)
        known = self.node("Unsqueeze", [inside, "last_axis"])
        self.node("Where", [known, centre, self.constant("nan", math.nan)], "expected")
        z = self.node("Div", [self.node("Sub", ["values", centre]), spread])
        usable = self.both(
            self.node("Greater", [spread, self.constant("zero", 0)]), self.finite(spread), self.finite(z)
        )
        return z, self.both("is_active", known, usable)

    def _row(self) -> tuple[str, str]:
        """Return the row [T, N] of each asset's mode in a baseline as [N * M, F], and where there is such a mode."""
        zero, one = self.constant("zero_index", 0, np.int64), self.constant("one_index", 1, np.int64)
        assets = self.node("Squeeze", [self.node("Shape", ["center"], start=0, end=1)])
        modes = self.node("Squeeze", [self.node("Shape", ["center"], start=1, end=2)])
        # Gather fails on an index outside, so the mode is brought inside first.
        mode = self.node("Min", [self.node("Max", ["mode", zero]), self.node("Sub", [modes, one])])
        first = self.node("Mul", [self.node("Range", [zero, assets, one]), modes])
        return self.node("Add", [first, mode]), self.node("Equal", ["mode", mode])

    def _flat(self, baseline: str) -> str:
        """Return a baseline [N, M, F] as [N * M, F]."""
        return self.node("Reshape", [baseline, self.constant("flat_shape", [-1, self.inputs], np.int64)])

    def averaged(self, z: str, present: str, weight: float) -> str:
        """Return the moving average [T, N, F] of z, held where it is not present; also makes ``state_out``."""
        self.constant("weight", weight)
        self.constant("rest", 1.0 - weight)
        body = self._average_body()
        start = self.node("Squeeze", ["state", self.constant("state_axis", [1], np.int64)])
        end, average = "average_end", "average"
        self.nodes.append(
            helper.make_node(
                "Scan", [start, z, present], [end, average], name=f"n{len(self.nodes)}", body=body, num_scan_inputs=2
            )
        )
        self.node("Unsqueeze", [end, "state_axis"], "state_out")
        return average

    def _average_body(self) -> GraphProto:
        """Return one step of the recurrence: a closed form over T would round differently at every block boundary."""
        shape: Shape = ["N", self.inputs]
        nodes = [
            helper.make_node("Mul", ["e", "rest"], ["kept"], name="b0"),
            helper.make_node("Mul", ["z", "weight"], ["added"], name="b1"),
            helper.make_node("Add", ["kept", "added"], ["moved"], name="b2"),
            helper.make_node("Where", ["present", "moved", "e"], ["e_out"], name="b3"),
            helper.make_node("Identity", ["e_out"], ["e_row"], name="b4"),
        ]
        taken = [("e", _DOUBLE), ("z", _DOUBLE), ("present", _BOOL)]
        return helper.make_graph(
            nodes,
            "step",
            [helper.make_tensor_value_info(name, kind, shape) for name, kind in taken],
            [helper.make_tensor_value_info(name, _DOUBLE, shape) for name in ("e_out", "e_row")],
        )

    def finish(self, deviation: str, present: str, directions: list[Direction], combine: Combine) -> None:
        """Make ``deviation`` and ``score`` from deviations [T, N, F] and where they may count if they are finite.

        Sides are chosen by comparison, not by multiplying or ``Max``: so there is no NaN and no -0.0 in the reduction,
        whose order then cannot matter.
        """
        zero, nan = self.constant("zero", 0), self.constant("nan", math.nan)
        up = self.constant("counts_up", [one is not Direction.DOWN for one in directions], np.bool_)
        down = self.constant("counts_down", [one is not Direction.UP for one in directions], np.bool_)
        axis = self.constant("last_axis", [-1], np.int64)
        present = self.both(present, self.finite(deviation))
        above = self.both(self.node("Greater", [deviation, zero]), up, present)
        below = self.both(self.node("Less", [deviation, zero]), down, present)
        falling = self.node("Where", [below, self.node("Neg", [deviation]), zero])
        size = self.node("Where", [above, deviation, falling])
        reduce = "ReduceMax" if combine is Combine.ANY else "ReduceMin"
        combined = self.node(reduce, [size, axis], keepdims=0)
        share = self.node("ReduceMin", [self.node("Cast", [present], to=_DOUBLE), axis], keepdims=0)
        complete = self.node("Greater", [share, zero])
        self.node("Where", [present, deviation, nan], "deviation")
        self.node("Where", [complete, combined, nan], "score")

    def model(self, kind: str, parameters: Mapping[str, object]) -> bytes:
        """Return the finished model. Its parameters are in its metadata, for people who open the file."""
        row: Shape = ["T", "N"]
        cube: Shape = ["T", "N", self.inputs]
        baseline: Shape = ["N", "M", self.inputs]
        state: Shape = ["N", self.state_rows, self.inputs]
        taken = [
            ("values", _DOUBLE, cube),
            ("active", _BOOL, row),
            ("mode", _INT64, row),
            ("center", _DOUBLE, baseline),
            ("spread", _DOUBLE, baseline),
            ("state", _DOUBLE, state),
        ]
        given = [("score", row), ("deviation", cube), ("expected", cube), ("state_out", state)]
        graph = helper.make_graph(
            self.nodes,
            kind,
            [helper.make_tensor_value_info(*one) for one in taken],
            [helper.make_tensor_value_info(name, _DOUBLE, shape) for name, shape in given],
            self.initializers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="wheeltapper"
        )
        helper.set_model_props(model, {"detector": kind, "parameters": json.dumps(parameters, sort_keys=True)})
        return bytes(model.SerializeToString(deterministic=True))
