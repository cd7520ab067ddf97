from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_onnx
from onnx import ModelProto, helper
from onnxruntime.quantization import quantize_dynamic
from tiny_onnx import BLANK, DIMENSION, Recipe

from parakeet_coreml.backends import decoder_joint
from parakeet_coreml.backends.decoder_joint import (
    FRAMES,
    LOGITS,
    OTHERS,
    STATES,
    Foresight,
    Parted,
    Whole,
)
from parakeet_coreml.backends.graphs import open_session
from parakeet_coreml.backends.parts import _field, read_parts
from parakeet_coreml.backends.small import Small
from parakeet_coreml.backends.stepping import Prediction, Stepper
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError
from parakeet_coreml.store.locate import BUILT_IN_DIRECTORY

TINY_EN = BUILT_IN_DIRECTORY / "decoder_joint-model.onnx"


def written(folder: Path, change: Callable[[ModelProto], None] = lambda _: None) -> Path:
    path = folder / "decoder_joint-model.onnx"
    model = tiny_onnx.decoder_joint(Recipe())
    change(model)
    onnx.save(model, path)
    return path


def open_stepper(path: Path) -> Stepper:
    return decoder_joint.open_stepper(path, BLANK, (0, 1, 2, 3, 4))


def whole_of(path: Path) -> Whole:
    return Whole(open_session(path, threads=1))


def frames_of(path: Path, count: int) -> np.ndarray:
    width = DIMENSION if path != TINY_EN else 160
    return np.random.default_rng(0).normal(0, 1, (count, width)).astype(np.float32)


def spoken(stepper: Stepper, path: Path, block: int) -> list[np.ndarray]:
    """Return logits of three tokens one behind the other, and the state behind them."""
    rows = stepper.prepared(frames_of(path, 12))
    state, found = stepper.zero, []
    for token in (BLANK, 3, 4):
        prediction = Prediction(token, state)
        found += [stepper.logits(rows[at : at + block], prediction) for at in range(0, 12, block)]
        assert prediction.after is not None
        state = prediction.after
    return [*found, *state]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("block", [1, 5, 12])
@pytest.mark.parametrize("integer", [onnx.TensorProto.INT32, onnx.TensorProto.INT64])
def test_apart_they_give_what_the_whole_gives(tmp_path: Path, block: int, integer: int) -> None:
    path = tmp_path / "decoder_joint-model.onnx"
    onnx.save(tiny_onnx.decoder_joint(Recipe(integer=integer)), path)
    apart = open_stepper(path)
    assert isinstance(apart, Parted)
    assert apart._rows
    assert same(spoken(apart, path, block), spoken(whole_of(path), path, block))


@pytest.mark.parametrize("block", [1, 5, 12])
def test_the_built_in_model_is_small_and_gives_what_its_graph_gives(block: int) -> None:
    small = open_stepper(TINY_EN)
    assert isinstance(small, Small)
    assert same(spoken(small, TINY_EN, block), spoken(whole_of(TINY_EN), TINY_EN, block))


def clipped(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "LSTM")
    node.attribute.append(helper.make_attribute("clip", 0.5))


def bent(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Relu")
    node.op_type = "Tanh"


def turned(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.output[0] == "outputs")
    node.input[:] = node.input[::-1]


@pytest.mark.parametrize(("change", "kind"), [(clipped, Parted), (bent, Parted), (turned, Small)])
def test_what_is_small_but_gives_something_else_is_run(
    tmp_path: Path, change: Callable[[ModelProto], None], kind: type[Stepper]
) -> None:
    model = onnx.load(TINY_EN)
    change(model)
    path = tmp_path / TINY_EN.name
    onnx.save(model, path)
    stepper = open_stepper(path)
    assert isinstance(stepper, kind)
    assert same(spoken(stepper, TINY_EN, 4), spoken(whole_of(path), TINY_EN, 4))


def test_a_token_that_is_none_is_a_failure_of_the_runtime() -> None:
    stepper = decoder_joint.open_stepper(TINY_EN, 257, (0, 1, 2, 3, 4))
    assert isinstance(stepper, Parted)
    rows = stepper.prepared(frames_of(TINY_EN, 3))
    with pytest.raises(BackendFailedError):
        stepper.logits(rows, Prediction(257, stepper.zero))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_frames_that_are_no_numbers_are_a_failure(bad: float) -> None:
    frames = frames_of(TINY_EN, 3)
    frames[1, 7] = bad
    with pytest.raises(BackendFailedError, match="no frames"):
        open_stepper(TINY_EN).prepared(frames)


def test_a_quantised_graph_is_taken_apart_and_its_frames_are_left_to_the_joint(
    tmp_path: Path,
) -> None:
    path = written(tmp_path)
    quantize_dynamic(path, path)
    apart = open_stepper(path)
    assert isinstance(apart, Parted)
    assert apart._rows is None
    assert same(spoken(apart, path, 1), spoken(whole_of(path), path, 1))


def test_the_predictor_runs_once_for_a_token(tmp_path: Path) -> None:
    path = written(tmp_path)
    apart = open_stepper(path)
    rows = apart.prepared(frames_of(path, 4))
    prediction = Prediction(3, apart.zero)
    apart.logits(rows[:2], prediction)
    output, after = prediction.output, prediction.after
    apart.logits(rows[2:], prediction)
    assert output is prediction.output
    assert after is prediction.after


def test_what_an_attribute_holds_counts(tmp_path: Path) -> None:
    """A branch takes its values by name, from outside, and none of them is an input of its node."""

    def branched(model: ModelProto) -> None:
        node = next(n for n in model.graph.node if n.output[0] == "squashed")
        node.output[0] = "smooth"
        value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, None)
        branches = [
            helper.make_graph([helper.make_node(op, ["smooth"], ["x"])], "b", [], [value])
            for op in ("Identity", "Neg")
        ]
        always = helper.make_tensor("always", onnx.TensorProto.BOOL, [], [True])
        chosen = helper.make_node(
            "If", ["always"], ["squashed"], then_branch=branches[0], else_branch=branches[1]
        )
        model.graph.initializer.append(always)
        at = list(model.graph.node).index(node)
        model.graph.node.insert(at + 1, chosen)

    path = written(tmp_path, branched)
    apart = open_stepper(path)
    assert isinstance(apart, Parted)
    assert same(spoken(apart, path, 3), spoken(whole_of(path), path, 3))


def test_it_judges_the_frames_that_a_row_of_blanks_leads_to(tmp_path: Path) -> None:
    path = written(tmp_path)
    apart = open_stepper(path)
    rows = apart.prepared(frames_of(path, 40))
    prediction = Prediction(3, apart.zero)
    durations = apart.logits(rows, prediction)[:, BLANK + 1 :].argmax(1)
    for at in range(40):
        wanted = [at]
        while len(wanted) < Foresight.AHEAD and wanted[-1] < 40:
            wanted.append(wanted[-1] + max(1, int(durations[wanted[-1]])))
        found = apart.foreseen(rows[at:], prediction)
        assert [at + place for place in found] == [place for place in wanted if place < 40]


@pytest.mark.parametrize("durations", [(0, 1, 2), (0, 1, 2, 3, 4, 5), ()])
def test_durations_of_another_model_cost_calls_and_change_nothing(
    tmp_path: Path, durations: tuple[int, ...]
) -> None:
    path = written(tmp_path)
    apart = decoder_joint.open_stepper(path, BLANK, durations)
    assert apart.foreseen(apart.prepared(frames_of(path, 9)), Prediction(3, apart.zero))[0] == 0
    assert same(spoken(apart, path, 5), spoken(whole_of(path), path, 5))


def test_numbers_that_are_not_raw_are_not_cut_down(tmp_path: Path) -> None:
    def listed(model: ModelProto) -> None:
        bias = next(i for i in model.graph.initializer if i.name == "bias")
        numbers = onnx.numpy_helper.to_array(bias).tolist()
        bias.CopyFrom(helper.make_tensor("bias", onnx.TensorProto.FLOAT, [len(numbers)], numbers))

    path = written(tmp_path, listed)
    apart = open_stepper(path)
    assert isinstance(apart, Parted)
    assert apart._foresight is None
    assert same(spoken(apart, path, 5), spoken(whole_of(path), path, 5))


# What is left whole


def frames_in_the_predictor(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.output[0] == "output_states_1")
    node.output[0] = "state"
    nothing = [
        helper.make_node("ReduceSum", ["encoder_outputs"], ["sum"], keepdims=0),
        helper.make_node("Sub", ["sum", "sum"], ["nothing"]),
        helper.make_node("Add", ["state", "nothing"], ["output_states_1"]),
    ]
    model.graph.node.extend(nothing)


def tokens_in_the_joint(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.output[0] == "outputs")
    node.output[0] = "almost"
    nothing = [
        helper.make_node("Cast", ["target_length"], ["counted"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["counted", "counted"], ["nothing"]),
        helper.make_node("Add", ["almost", "nothing"], ["outputs"]),
    ]
    model.graph.node.extend(nothing)


@pytest.mark.parametrize("change", [frames_in_the_predictor, tokens_in_the_joint])
def test_a_graph_that_cannot_be_cut_is_run_whole(
    tmp_path: Path, change: Callable[[ModelProto], None]
) -> None:
    path = written(tmp_path, change)
    stepper = open_stepper(path)
    assert isinstance(stepper, Whole)
    assert same(spoken(stepper, path, 3), spoken(open_stepper(written(tmp_path)), path, 3))


def test_numbers_in_another_file_are_left_there(tmp_path: Path) -> None:
    path = written(tmp_path)
    apart = spoken(open_stepper(path), path, 3)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=256)
    stepper = open_stepper(path)
    assert isinstance(stepper, Whole)
    assert same(spoken(stepper, path, 3), apart)


def test_a_file_that_breaks_off_anywhere_is_not_taken_apart(tmp_path: Path) -> None:
    model = written(tmp_path).read_bytes()
    for length in range(0, len(model), 7):
        parts = read_parts(
            model[:length], frames=FRAMES, logits=LOGITS, others=OTHERS, states=STATES
        )
        assert parts is None


def test_a_damaged_graph_is_run_or_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    model = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for at in rng.integers(0, len(model), 60):
        damaged = bytearray(model)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        try:
            spoken(open_stepper(path), path, 3)
        except (ModelUnusableError, BackendFailedError):
            refused += 1
    assert 0 < refused < 60


def test_graphs_in_graphs_without_end_are_left_whole(tmp_path: Path) -> None:
    """Each level takes a few bytes, and a reader that goes into all of them has no more stack."""
    body = b""
    for _ in range(3_000):
        attribute = _field(6, body)
        body = _field(1, _field(5, attribute))
    model = _field(7, body)
    assert read_parts(model, frames=FRAMES, logits=LOGITS, others=OTHERS, states=STATES) is None
