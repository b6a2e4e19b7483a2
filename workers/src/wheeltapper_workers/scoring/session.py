"""ONNX Runtime sessions with the settings that keep results repeatable and processes small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime

from wheeltapper_workers.detectors.graphs import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_INPUTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "values": ("tensor(double)", ("T", "N", "F")),
    "active": ("tensor(bool)", ("T", "N")),
    "mode": ("tensor(int64)", ("T", "N")),
    "center": ("tensor(double)", ("N", "M", "F")),
    "spread": ("tensor(double)", ("N", "M", "F")),
    "state": ("tensor(double)", ("N", "S", "F")),
}
_OUTPUTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "score": ("tensor(double)", ("T", "N")),
    "deviation": ("tensor(double)", ("T", "N", "F")),
    "expected": ("tensor(double)", ("T", "N", "F")),
    "state_out": ("tensor(double)", ("N", "S", "F")),
}
_DTYPES: Final = {"tensor(double)": np.float64, "tensor(bool)": np.bool_, "tensor(int64)": np.int64}


class ModelError(ValueError):
    """A model that must not score: not the one that was meant, not readable, or with another signature."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of T windows of N assets; see :mod:`wheeltapper_workers.detectors.graphs`."""

    score: Floats
    """[T, N]: 1.0 at the limit, NaN where there is none."""
    deviation: Floats
    """[T, N, F]: signed, 1.0 in size at the limit."""
    expected: Floats
    """[T, N, F]: what the inputs were compared with, in their units."""
    state: Floats
    """[N, S, F]: to be given to the next call."""


def options() -> onnxruntime.SessionOptions:
    """Return the settings of every session.

    One thread, because steps run side by side and a detector's batch is far below the 8,000 rows from which a second
    thread pays; no spinning, because idle fleets must be idle; no memory pattern, because T and N vary.
    Only rewrites that keep the meaning of every node: the higher levels choose kernels by processor.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.enable_mem_pattern = False
    settings.log_severity_level = 4  # fatal only: errors arrive as exceptions
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return settings


def _stored_outside(model: onnx.ModelProto) -> Iterator[str]:
    """Yield tensors whose content lies in other files; the runtime would read those from the working directory."""
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while waiting:
        body = waiting.pop()
        tensors: list[onnx.TensorProto] = []
        if isinstance(body, onnx.GraphProto):
            tensors += body.initializer
            tensors += [part for sparse in body.sparse_initializer for part in (sparse.values, sparse.indices)]
        for attribute in (one for node in body.node for one in node.attribute):
            tensors += [attribute.t, *attribute.tensors]
            tensors += [
                part
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors)
                for part in (sparse.values, sparse.indices)
            ]
            waiting += [attribute.g, *attribute.graphs]
        yield from (one.name or "(unnamed)" for one in tensors if one.data_location == onnx.TensorProto.EXTERNAL)


class Session:
    """A detector ready to run.

    Parameters
    ----------
    model_bytes : bytes
        The ONNX model.
    expected_digest : str, optional
        The digest the configuration names (``sha256:...``); the bytes must have it.

    Attributes
    ----------
    digest : str
        Digest of the bytes.
    inputs, state_rows : int
        F and S.

    Raises
    ------
    ModelError
        For another digest, bytes that are no usable ONNX model, or another signature than the detectors'.
    """

    def __init__(self, model_bytes: bytes, expected_digest: str | None = None) -> None:
        self.digest = digest(model_bytes)
        if expected_digest not in (None, self.digest):
            raise ModelError(
                f"Model has digest {self.digest}, but the configuration names {expected_digest}; fetch the model anew"
            )
        try:
            outside = next(_stored_outside(onnx.load_model_from_string(model_bytes)), None)
            if outside is None:
                self._session = onnxruntime.InferenceSession(model_bytes, options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # the libraries' exceptions share no other base class
            raise ModelError(f"Model {self.digest} cannot be loaded: {error}; export it as ONNX again") from error
        if outside is not None:
            raise ModelError(
                f"Model {self.digest} keeps tensor {outside} in another file, which its digest does not cover; "
                "export it with its weights inside"
            )
        sizes: dict[str, int] = {}
        self._check("input", self._session.get_inputs(), _INPUTS, sizes)
        self._check("output", self._session.get_outputs(), _OUTPUTS, sizes)
        self.inputs = sizes["F"]
        self.state_rows = sizes["S"]

    def _check(
        self,
        side: str,
        found: Iterable[Any],
        wanted: Mapping[str, tuple[str, tuple[str, ...]]],
        sizes: dict[str, int],
    ) -> None:
        """Compare one side of the signature, and collect the sizes that are fixed in the graph."""
        by_name = {argument.name: argument for argument in found}
        if by_name.keys() != wanted.keys():
            raise ModelError(
                f"Model {self.digest} has the {side}s {', '.join(sorted(by_name))}; "
                f"a detector has {', '.join(sorted(wanted))}"
            )
        for name, (kind, axes) in wanted.items():
            shape = by_name[name].shape
            fits = by_name[name].type == kind and len(shape) == len(axes)
            for axis, size in zip(axes, shape, strict=False):
                fixed = isinstance(size, int)
                fits = fits and fixed == (axis in {"F", "S"}) and (not fixed or sizes.setdefault(axis, size) == size)
            if not fits:
                raise ModelError(
                    f"Model {self.digest}: {side} {name} is {by_name[name].type} {shape}; a detector has {kind} "
                    f"[{', '.join(axes)}] with F and S fixed, the others free, and each the same everywhere"
                )

    def run(
        self,
        values: Floats,
        active: NDArray[np.bool_],
        mode: NDArray[np.int64],
        center: Floats,
        spread: Floats,
        state: Floats | None = None,
    ) -> Scores:
        """Score T windows of N assets. ``state`` None starts anew.

        Raises
        ------
        ValueError
            If the arrays' shapes do not belong together.
        """
        if state is None:
            state = self.initial_state(values.shape[1])
        given = dict(zip(_INPUTS, (values, active, mode, center, spread, state), strict=True))
        sizes = {"F": self.inputs, "S": self.state_rows}
        feed = {}
        for name, (kind, axes) in _INPUTS.items():
            array: NDArray[Any] = np.ascontiguousarray(given[name], dtype=_DTYPES[kind])
            wanted = [sizes.setdefault(axis, size) for axis, size in zip(axes, array.shape, strict=False)]
            if array.ndim != len(axes) or list(array.shape) != wanted:
                raise ValueError(f"{name.capitalize()} has shape {array.shape}, which does not fit {axes} with {sizes}")
            feed[name] = array
        if not values.shape[0] or not values.shape[1]:
            return self._nothing(values.shape[0], values.shape[1], feed["state"])
        return Scores(*self._session.run(list(_OUTPUTS), feed))

    def initial_state(self, assets: int) -> Floats:
        """Return the state [N, S, F] of assets that were never scored."""
        return np.zeros((assets, self.state_rows, self.inputs))

    def _nothing(self, windows: int, assets: int, state: Floats) -> Scores:
        """Return the scores of no windows or no assets, for which the runtime's operators have no common answer."""
        cube = np.empty((windows, assets, self.inputs))
        return Scores(np.empty((windows, assets)), cube, cube.copy(), state.copy())


class SessionCache:
    """One session for each digest: many lines and assets share a model. Not for several threads at once."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, model_bytes: bytes, expected_digest: str | None = None) -> Session:
        """Return the session of a model, made at the first call.

        Raises
        ------
        ModelError
            As :class:`Session`; a model that failed is not kept.
        """
        key = digest(model_bytes)
        if key not in self._sessions or expected_digest not in (None, key):
            self._sessions[key] = Session(model_bytes, expected_digest)
        return self._sessions[key]

    def retain(self, digests: Iterable[str]) -> None:
        """Let go of every session but these: a reload leaves no old model in memory."""
        keep = set(digests)
        self._sessions = {key: session for key, session in self._sessions.items() if key in keep}
