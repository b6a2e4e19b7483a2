"""A file that is not the model that was meant, or no detector at all, must not score."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from wheeltapper_workers.detectors import graphs
from wheeltapper_workers.scoring.session import ModelError, Session, SessionCache

MODEL = graphs.ewma(0.1, 3.0, ["up", "down"])


def arrays(windows: int = 4, assets: int = 3, modes: int = 2, inputs: int = 2) -> dict[str, np.ndarray]:
    return {
        "values": np.ones((windows, assets, inputs)),
        "active": np.ones((windows, assets), dtype=bool),
        "mode": np.zeros((windows, assets), dtype=np.int64),
        "center": np.zeros((assets, modes, inputs)),
        "spread": np.ones((assets, modes, inputs)),
    }


def edited(change) -> bytes:
    model = onnx.load_model_from_string(MODEL)
    change(model.graph)
    return model.SerializeToString()


def test_another_digest_is_refused_and_both_are_named():
    with pytest.raises(ModelError) as caught:
        Session(MODEL, "sha256:" + "0" * 64)
    assert graphs.digest(MODEL) in str(caught.value)
    assert "sha256:000" in str(caught.value)


def test_the_right_digest_is_accepted():
    session = Session(MODEL, graphs.digest(MODEL))
    assert (session.digest, session.inputs, session.state_rows) == (graphs.digest(MODEL), 2, 1)


@pytest.mark.parametrize("content", [b"", b"no model", MODEL[:200]])
def test_bytes_that_are_no_model_are_refused(content):
    with pytest.raises(ModelError, match="cannot be loaded"):
        Session(content)


def stored_outside(tensor):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "weights.bin", "offset": "0", "length": "2"}.items():
        tensor.external_data.add(key=key, value=value)


def initializer_outside(graph):
    stored_outside(next(tensor for tensor in graph.initializer if tensor.name == "counts_up"))


def inner_constant_outside(graph):
    body = next(node for node in graph.node if node.op_type == "Scan").attribute[0].g
    assert body.node
    constant = helper.make_tensor("hidden", TensorProto.BOOL, [2], [True, True])
    body.node.insert(0, helper.make_node("Constant", [], ["hidden"], value=constant))
    tensor = body.node[0].attribute[0].t
    tensor.ClearField("int32_data")
    stored_outside(tensor)


@pytest.mark.parametrize(("change", "name"), [(initializer_outside, "counts_up"), (inner_constant_outside, "hidden")])
def test_weights_in_another_file_are_refused_because_the_digest_does_not_cover_them(
    change, name, tmp_path, monkeypatch
):
    """The runtime itself would take them from the working directory."""
    (tmp_path / "weights.bin").write_bytes(b"\x01\x01")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"keeps tensor {name} in another file"):
        Session(edited(change))


def test_a_model_of_something_else_is_refused():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(ModelError, match="has the inputs x; a detector has active, center"):
        Session(model.SerializeToString())


def without_output(graph):
    del graph.output[2]


def with_free_inputs(graph):
    graph.input[0].type.tensor_type.shape.dim[2].dim_param = "F"


def with_fixed_assets(graph):
    graph.input[1].type.tensor_type.shape.dim[1].dim_value = 3


def with_integer_score(graph):
    graph.node.append(helper.make_node("Cast", ["score"], ["score_i"], to=TensorProto.INT64))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("score_i", TensorProto.INT64, ["T", "N"]))
    for node in graph.node:
        for side in (node.input, node.output):
            for place, name in enumerate(side):
                side[place] = {"score": "raw", "score_i": "score"}.get(name, name)
    graph.output[0].name = "score"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_output, "has the outputs deviation, score, state_out"),
        (with_free_inputs, "input values is"),
        (with_fixed_assets, "input active is"),
        (with_integer_score, "output score is tensor.int64."),
    ],
)
def test_a_signature_that_differs_is_refused_by_name(change, message):
    with pytest.raises(ModelError, match=message):
        Session(edited(change))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("values", (4, 3, 3)),
        ("active", (4, 2)),
        ("mode", (5, 3)),
        ("center", (3, 2)),
        ("spread", (3, 1, 2)),
        ("state", (3, 0, 2)),
    ],
)
def test_arrays_that_do_not_belong_together_are_named(name, shape):
    given = arrays()
    given[name] = np.zeros(shape, dtype=given[name].dtype if name in given else np.float64)
    with pytest.raises(ValueError, match=name.capitalize() if name != "values" else "shape"):
        Session(MODEL).run(**given)


@pytest.mark.parametrize("model", [MODEL, graphs.robust_z(3.0, ["up", "up"]), graphs.fixed_limit([0, 0], [1, 1])])
@pytest.mark.parametrize(("windows", "assets"), [(0, 3), (4, 0), (0, 0)])
def test_no_windows_or_no_assets_are_no_error(model, windows, assets):
    session = Session(model)
    state = session.initial_state(assets) + 0.5
    result = session.run(**arrays(windows, assets), state=state)
    assert result.score.shape == (windows, assets)
    assert result.deviation.shape == result.expected.shape == (windows, assets, 2)
    np.testing.assert_array_equal(result.state, state)


def test_a_cache_keeps_one_session_a_digest_and_lets_go():
    cache = SessionCache()
    other = graphs.robust_z(3.0, ["up"])
    first = cache.get(MODEL)
    assert cache.get(bytes(bytearray(MODEL)), graphs.digest(MODEL)) is first
    cache.get(other)
    assert len(cache) == 2
    cache.retain([graphs.digest(other)])
    assert len(cache) == 1
    assert cache.get(MODEL) is not first


def test_a_cached_model_does_not_answer_to_another_digest():
    cache = SessionCache()
    cache.get(MODEL)
    with pytest.raises(ModelError, match="names sha256:beef"):
        cache.get(MODEL, "sha256:beef")


def test_a_model_that_failed_is_not_kept():
    cache = SessionCache()
    with pytest.raises(ModelError):
        cache.get(b"no model")
    assert len(cache) == 0
