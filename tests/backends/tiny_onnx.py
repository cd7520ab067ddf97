"""Random networks in the layout of the published ONNX models: they say nonsense, but they run.

encoder        (1, 128, T) -> convolution over 8 mel frames -> tanh -> (1, D, ceil(T / 8))
decoder_joint  embedding -> LSTM layers -> + encoder frame -> tanh -> logits
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

PIECES = (
    "<unk>",
    *("▁the", "▁bug", "▁log", "in", "▁a", "s", "ed", ".", ",", "▁", "▁now", "ing", "▁is", "t"),
    *("▁Fix", "er", "▁we", "o", "▁go"),
)
BLANK = len(PIECES)
DURATIONS = 5
OPSET = 17
IR_VERSION = 9

Weights = dict[str, NDArray[Any]]

MEL_BINS = 128
SUBSAMPLING = 8
DIMENSION = 16
HIDDEN = 12
JOINED = 24


@dataclass(frozen=True)
class Recipe:
    """What may differ between two published pairs."""

    seed: int = 0
    layers: int = 2
    integer: int = TensorProto.INT32
    """Of `targets` and `target_length`: published graphs differ."""
    blank_bias: float = 1.0
    """Added to the logit of blank: how talkative the networks are."""
    outputs: int = BLANK + 1 + DURATIONS
    bins: int = MEL_BINS
    joint_dimension: int = DIMENSION


def write_pair(folder: Path, recipe: Recipe = Recipe(), suffix: str = "") -> Path:
    """Write both graphs, the vocabulary and the configuration; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(encoder(recipe), folder / f"encoder-model{suffix}.onnx")
    onnx.save(decoder_joint(recipe), folder / f"decoder_joint-model{suffix}.onnx")
    lines = (f"{piece} {i}\n" for i, piece in enumerate((*PIECES, "<blk>")))
    (folder / "vocab.txt").write_text("".join(lines), encoding="utf-8")
    config = {"model_type": "nemo-conformer-tdt", "features_size": 128, "subsampling_factor": 8}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def encoder(recipe: Recipe) -> onnx.ModelProto:
    """Return a graph whose frames depend on 80 ms of features each."""
    rng = np.random.default_rng(recipe.seed)
    weights: Weights = {
        "kernel": rng.normal(0, 0.12, (DIMENSION, recipe.bins, SUBSAMPLING)).astype(np.float32),
        "seven": np.array([SUBSAMPLING - 1], dtype=np.int64),
        "eight": np.array([SUBSAMPLING], dtype=np.int64),
    }
    nodes = [
        helper.make_node(
            "Conv",
            ["audio_signal", "kernel"],
            ["convolved"],
            strides=[SUBSAMPLING],
            pads=[0, SUBSAMPLING - 1],
        ),
        helper.make_node("Tanh", ["convolved"], ["outputs"]),
        helper.make_node("Add", ["length", "seven"], ["padded"]),
        helper.make_node("Div", ["padded", "eight"], ["encoded_lengths"]),
    ]
    inputs = [
        helper.make_tensor_value_info("audio_signal", TensorProto.FLOAT, ["B", recipe.bins, "T"]),
        helper.make_tensor_value_info("length", TensorProto.INT64, ["B"]),
    ]
    outputs = [
        helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["B", DIMENSION, "F"]),
        helper.make_tensor_value_info("encoded_lengths", TensorProto.INT64, ["B"]),
    ]
    return _model(nodes, inputs, outputs, weights)


def decoder_joint(recipe: Recipe) -> onnx.ModelProto:
    """Return the fused graph of predictor and joint."""
    rng = np.random.default_rng(recipe.seed + 1)
    bias = np.zeros(recipe.outputs, dtype=np.float32)
    bias[BLANK] = recipe.blank_bias
    weights: Weights = {
        "embedding": _normal(rng, (BLANK + 1, HIDDEN), 1.0),
        "frame_to_joined": _normal(rng, (recipe.joint_dimension, JOINED), 0.5),
        "prediction_to_joined": _normal(rng, (HIDDEN, JOINED), 1.5),
        "joined_to_logits": _normal(rng, (JOINED, recipe.outputs), 1.0),
        "bias": bias,
        "axis_1": np.array([1], dtype=np.int64),
        "axis_2": np.array([2], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["embedding", "targets"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["steps_0"], perm=[1, 0, 2]),
        *_lstm(rng, recipe.layers, weights),
        helper.make_node("Transpose", [f"steps_{recipe.layers}"], ["predicted"], perm=[1, 0, 2]),
        helper.make_node("Transpose", ["encoder_outputs"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "frame_to_joined"], ["frames_joined"]),
        helper.make_node("MatMul", ["predicted", "prediction_to_joined"], ["predicted_joined"]),
        helper.make_node("Unsqueeze", ["frames_joined", "axis_2"], ["frames_4d"]),
        helper.make_node("Unsqueeze", ["predicted_joined", "axis_1"], ["predicted_4d"]),
        helper.make_node("Add", ["frames_4d", "predicted_4d"], ["joined"]),
        helper.make_node("Tanh", ["joined"], ["squashed"]),
        helper.make_node("MatMul", ["squashed", "joined_to_logits"], ["unbiased"]),
        helper.make_node("Add", ["unbiased", "bias"], ["outputs"]),
        helper.make_node("Identity", ["target_length"], ["prednet_lengths"]),
    ]
    state: list[int | str] = [recipe.layers, "B", HIDDEN]
    inputs = [
        helper.make_tensor_value_info(
            "encoder_outputs", TensorProto.FLOAT, ["B", recipe.joint_dimension, "T"]
        ),
        helper.make_tensor_value_info("targets", recipe.integer, ["B", "U"]),
        helper.make_tensor_value_info("target_length", recipe.integer, ["B"]),
        helper.make_tensor_value_info("input_states_1", TensorProto.FLOAT, state),
        helper.make_tensor_value_info("input_states_2", TensorProto.FLOAT, state),
    ]
    outputs = [
        helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["B", "T", "U", "V"]),
        helper.make_tensor_value_info("prednet_lengths", recipe.integer, ["B"]),
        helper.make_tensor_value_info("output_states_1", TensorProto.FLOAT, state),
        helper.make_tensor_value_info("output_states_2", TensorProto.FLOAT, state),
    ]
    return _model(nodes, inputs, outputs, weights)


def _lstm(rng: np.random.Generator, layers: int, weights: Weights) -> list[NodeProto]:
    """Return LSTM layers from `steps_0` to `steps_<layers>`, with states split and joined."""
    nodes = []
    for state in ("states_1", "states_2"):
        split = [f"{state}_{layer}" for layer in range(layers)]
        nodes.append(helper.make_node("Split", [f"input_{state}"], split, axis=0))
        weights[f"split_{state}"] = np.ones(layers, dtype=np.int64)
        nodes[-1].input.append(f"split_{state}")
    for layer in range(layers):
        weights[f"w_{layer}"] = _normal(rng, (1, 4 * HIDDEN, HIDDEN), 0.8)
        weights[f"r_{layer}"] = _normal(rng, (1, 4 * HIDDEN, HIDDEN), 0.8)
        nodes += [
            helper.make_node(
                "LSTM",
                [
                    f"steps_{layer}",
                    f"w_{layer}",
                    f"r_{layer}",
                    "",
                    "",
                    f"states_1_{layer}",
                    f"states_2_{layer}",
                ],
                [f"y_{layer}", f"h_{layer}", f"c_{layer}"],
                hidden_size=HIDDEN,
            ),
            helper.make_node("Squeeze", [f"y_{layer}", "axis_1"], [f"steps_{layer + 1}"]),
        ]
    for name, state in (("h", "output_states_1"), ("c", "output_states_2")):
        parts = [f"{name}_{layer}" for layer in range(layers)]
        nodes.append(helper.make_node("Concat", parts, [state], axis=0))
    return nodes


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], deviation: float
) -> NDArray[np.float32]:
    return rng.normal(0, deviation, shape).astype(np.float32)


def _model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Weights,
) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
