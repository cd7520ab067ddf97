"""The reference evaluator against PyTorch's recorded answers, NumPy's, and hand-made ones."""

import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parakeet_coreml.backends.reference.evaluator import KERNELS, Evaluator
from parakeet_coreml.backends.reference.mlpackage import (
    Feature,
    _from_blob,
    _immediate,
    check_inputs,
    describe,
    fields,
    read_package,
    unpack,
)
from parakeet_coreml.errors import BackendFailedError, ModelCorruptError, ModelUnusableError

FIXTURES = Path(__file__).parent / "fixtures"
TOY = FIXTURES / "toy"
RECORDED: dict[str, Any] = dict(np.load(FIXTURES / "operations.npz"))
STAGES: dict[str, Any] = dict(np.load(FIXTURES / "stages.npz"))
VALID = 100_000

Inputs = dict[str, Any]


def run(operation: str, **inputs: Any) -> Any:
    return KERNELS[operation](**inputs)


def recorded(case: str, *names: str) -> Inputs:
    return {name: RECORDED[f"{case}/{name}"] for name in names}


def numbers(*values: int) -> Any:
    return np.array(values, np.int32)


def sound() -> Inputs:
    """The very sound that models/convert/fixtures.py gave to PyTorch."""
    samples = np.zeros((1, 240_000), np.float32)
    time = np.arange(VALID) / 16_000
    samples[0, :VALID] = np.sin(2 * np.pi * 300 * time * (1 + time)) * np.sin(9 * time) ** 2
    return {"audio_signal": samples, "audio_length": numbers(VALID)}


def encoded(path: Path, *, half: bool = False) -> Any:
    mel = Evaluator(TOY / "Preprocessor.mlpackage").predict(sound())
    found = Evaluator(path, half=half).predict(mel)
    assert found["encoder_length"].tolist() == [len(STAGES["frames"])]
    return found["encoder"][0].T[: len(STAGES["frames"])]


def error(found: Any, expected: Any) -> float:
    """Root of the mean square of the difference, beside that of what is expected."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


# Operations


@pytest.mark.parametrize(
    ("case", "given", "how"),
    [
        (
            "conv",
            ("x", "weight", "bias"),
            {"strides": numbers(2), "pad_type": "custom", "pad": numbers(2, 2)},
        ),
        ("conv_dilated", ("x", "weight"), {"dilations": numbers(3)}),
        (
            "conv_depthwise",
            ("x", "weight"),
            {"groups": np.int32(6), "pad_type": "custom", "pad": numbers(3, 3)},
        ),
        (
            "conv_grouped",
            ("x", "weight"),
            {"groups": np.int32(3), "pad_type": "custom", "pad": numbers(1, 1)},
        ),
        (
            "conv_plane",
            ("x", "weight", "bias"),
            {"strides": numbers(2, 2), "pad_type": "custom", "pad": numbers(1, 1, 1, 1)},
        ),
        ("conv_same", ("x", "weight"), {"pad_type": "same"}),
        ("batch_norm", ("x", "mean", "variance", "gamma", "beta"), {"epsilon": 1e-3}),
        ("layer_norm", ("x", "gamma", "beta"), {"axes": numbers(-1), "epsilon": 1e-3}),
        ("relu", ("x",), {}),
        ("sigmoid", ("x",), {}),
        ("silu", ("x",), {}),
        ("tanh", ("x",), {}),
        ("softmax", ("x",), {"axis": np.int32(2)}),
        (
            "linear",
            ("x",),
            {"weight": np.ones((3, 9), np.float32), "bias": np.arange(3, dtype=np.float32)},
        ),
    ],
)
def test_an_operation_gives_what_pytorch_gives(
    case: str, given: tuple[str, ...], how: Inputs
) -> None:
    operation = "conv" if case.startswith("conv") else case

    found = run(operation, **recorded(case, *given), **how)

    np.testing.assert_allclose(found, RECORDED[f"{case}/result"], rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


def test_an_uneven_stride_keeps_the_size_that_same_padding_promises() -> None:
    x = np.arange(10, dtype=np.float32).reshape(1, 1, 10)
    taps = np.ones((1, 1, 4), np.float32)

    found = run("conv", x=x, weight=taps, pad_type="same", strides=numbers(3))

    # Four places of four: 10 samples and 3 of padding, the odd one behind.
    np.testing.assert_array_equal(found, [[[0 + 1 + 2, 2 + 3 + 4 + 5, 5 + 6 + 7 + 8, 8 + 9]]])


def test_an_lstm_steps_as_pytorch_does() -> None:
    weights = recorded("lstm", "x", "weight_ih", "weight_hh", "bias")
    start = {"initial_h": RECORDED["lstm/h"], "initial_c": RECORDED["lstm/c"]}

    y, h, c = run("lstm", **weights, **start, output_sequence=np.bool_(True))
    last, _, _ = run("lstm", **weights, **start)

    np.testing.assert_allclose(y, RECORDED["lstm/result"], atol=1e-6)
    np.testing.assert_allclose(h, RECORDED["lstm/h1"], atol=1e-6)
    np.testing.assert_allclose(c, RECORDED["lstm/c1"], atol=1e-6)
    np.testing.assert_allclose(last, y[-1:])


def test_topk_gives_the_greatest_first_and_where_they_were() -> None:
    best, ids = run("topk", x=RECORDED["topk/x"], k=np.int32(3), axis=np.int32(1))
    (least,) = run(
        "topk",
        x=numbers(3, 1, 2),
        k=np.int32(2),
        ascending=np.bool_(True),
        return_indices=np.bool_(False),
    )

    np.testing.assert_array_equal(best, RECORDED["topk/result"])
    np.testing.assert_array_equal(ids, RECORDED["topk/ids"])
    assert ids.dtype == np.int32
    assert least.tolist() == [1, 2]


X = np.random.default_rng(3).standard_normal((2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.1)
WHOLE = numbers(7, -7, 8, 0)


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        ("add", {"x": X, "y": POSITIVE}, X + POSITIVE),
        ("sub", {"x": X, "y": POSITIVE}, X - POSITIVE),
        ("mul", {"x": X, "y": X[:1]}, X * X[:1]),
        ("real_div", {"x": X, "y": POSITIVE}, X / POSITIVE),
        ("floor_div", {"x": WHOLE, "y": numbers(2)}, [3, -4, 4, 0]),
        ("mod", {"x": WHOLE, "y": numbers(4)}, [3, 1, 0, 0]),
        ("pow", {"x": POSITIVE, "y": np.float32(2)}, POSITIVE**2),
        ("maximum", {"x": X, "y": np.float32(0)}, np.where(X > 0, X, 0)),
        ("minimum", {"x": X, "y": np.float32(0)}, np.where(X < 0, X, 0)),
        ("equal", {"x": WHOLE, "y": numbers(8)}, [False, False, True, False]),
        ("not_equal", {"x": WHOLE, "y": numbers(8)}, [True, True, False, True]),
        ("less", {"x": WHOLE, "y": numbers(7)}, [False, True, False, True]),
        ("less_equal", {"x": WHOLE, "y": numbers(7)}, [True, True, False, True]),
        ("greater", {"x": WHOLE, "y": numbers(7)}, [False, False, True, False]),
        ("greater_equal", {"x": WHOLE, "y": numbers(7)}, [True, False, True, False]),
        ("logical_and", {"x": WHOLE > 0, "y": WHOLE > 7}, [False, False, True, False]),
        ("logical_or", {"x": WHOLE > 7, "y": WHOLE < 0}, [False, True, True, False]),
        ("logical_not", {"x": WHOLE > 0}, [False, True, False, True]),
        ("exp", {"x": X}, np.exp(X)),
        ("log", {"x": POSITIVE, "epsilon": np.float32(0.5)}, np.log(POSITIVE + 0.5)),
        ("sqrt", {"x": POSITIVE}, np.sqrt(POSITIVE)),
        ("rsqrt", {"x": POSITIVE}, POSITIVE**-0.5),
        ("square", {"x": X}, X * X),
        ("abs", {"x": X}, np.where(X < 0, -X, X)),
        ("sin", {"x": X}, np.sin(X)),
        ("cos", {"x": X}, np.cos(X)),
        ("floor", {"x": np.array([1.5, -1.5], np.float32)}, [1, -2]),
        ("clip", {"x": WHOLE, "alpha": 0, "beta": 7}, [7, 0, 7, 0]),
        ("identity", {"x": X}, X),
        ("cast", {"x": np.array([1.9, -1.9], np.float32), "dtype": "int32"}, [1, -1]),
        ("select", {"cond": X > 0, "a": X, "b": -X}, np.abs(X)),
        ("shape", {"x": X}, [2, 3, 4]),
        ("reshape", {"x": X, "shape": numbers(0, -1, 2)}, X.reshape(2, 6, 2)),
        ("transpose", {"x": X, "perm": numbers(2, 0, 1)}, X.transpose(2, 0, 1)),
        ("expand_dims", {"x": X, "axes": numbers(0, 2)}, X[None, :, None]),
        ("squeeze", {"x": X[:1, :, :1], "axes": numbers(0, 2)}, X[0, :, 0]),
        ("squeeze", {"x": X[:1, :1]}, X[0, 0]),
        (
            "concat",
            {"values": (X, X), "axis": np.int32(1), "interleave": np.bool_(False)},
            np.concatenate([X, X], 1),
        ),
        (
            "concat",
            {"values": (np.int32(5), numbers(6)), "axis": np.int32(0)},
            [5, 6],
        ),
        ("stack", {"values": (X, X), "axis": np.int32(0)}, np.stack([X, X])),
        ("gather", {"x": X, "indices": numbers(2, 0), "axis": np.int32(1)}, X[:, [2, 0]]),
        ("tile", {"x": X, "reps": numbers(1, 2, 1)}, np.concatenate([X, X], 1)),
        (
            "range_1d",
            {"start": np.int32(1), "end": np.int32(8), "step": np.int32(3)},
            [1, 4, 7],
        ),
        ("pad", {"x": X, "pad": numbers(1, 2)}, np.pad(X, [(0, 0), (0, 0), (1, 2)])),
        (
            "pad",
            {"x": X, "pad": numbers(0, 0, 1, 2), "mode": "reflect"},
            X[..., [1, 0, 1, 2, 3, 2, 1]],
        ),
        (
            "pad",
            {"x": X, "pad": numbers(0, 0, 1, 0), "mode": "replicate"},
            X[..., [0, 0, 1, 2, 3]],
        ),
        ("reduce_sum", {"x": X, "axes": numbers(1)}, X[:, 0] + X[:, 1] + X[:, 2]),
        ("reduce_mean", {"x": X}, X.sum() / 24),
        ("reduce_max", {"x": X, "axes": numbers(-1)}, np.sort(X)[..., -1]),
        ("reduce_min", {"x": X, "axes": numbers(-1)}, np.sort(X)[..., 0]),
        (
            "reduce_argmax",
            {"x": X, "axis": np.int32(2), "keep_dims": np.bool_(True)},
            np.argsort(X)[..., -1:],
        ),
        (
            "matmul",
            {"x": X, "y": X, "transpose_y": np.bool_(True)},
            np.einsum("bik,bjk->bij", X, X),
        ),
        (
            "matmul",
            {"x": X, "y": X, "transpose_x": np.bool_(True)},
            np.einsum("bki,bkj->bij", X, X),
        ),
    ],
)
def test_an_operation_gives_what_numpy_gives(operation: str, inputs: Inputs, expected: Any) -> None:
    found = run(operation, **inputs)

    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_split_cuts_evenly_or_by_sizes() -> None:
    halves = run("split", x=X, axis=np.int32(2), num_splits=np.int32(2))
    parts = run("split", x=X, axis=np.int32(2), split_sizes=numbers(1, 3))

    assert [part.shape[2] for part in (*halves, *parts)] == [2, 2, 1, 3]
    np.testing.assert_array_equal(np.concatenate(parts, 2), X)


def test_slice_by_index_obeys_its_masks() -> None:
    x = np.arange(24).reshape(2, 3, 4)

    found = run(
        "slice_by_index",
        x=x,
        begin=numbers(1, 5, 3),
        end=numbers(2, 1, 0),
        stride=numbers(1, 1, -2),
        begin_mask=np.array([False, True, False]),
        end_mask=np.array([False, False, True]),
        squeeze_mask=np.array([True, False, False]),
    )

    np.testing.assert_array_equal(found, x[1, :1, 3::-2])
    np.testing.assert_array_equal(
        run("slice_by_index", x=x, begin=numbers(0, 1, 0), end=numbers(2, 3, 2)), x[:, 1:3, :2]
    )


@pytest.mark.parametrize(
    ("operation", "inputs"),
    [
        ("concat", {"values": (X,), "axis": np.int32(0), "interleave": np.bool_(True)}),
        ("gather", {"x": X, "indices": numbers(0), "batch_dims": np.int32(1)}),
        (
            "lstm",
            {
                **recorded("lstm", "x", "weight_ih", "weight_hh"),
                "initial_h": RECORDED["lstm/h"],
                "initial_c": RECORDED["lstm/c"],
                "direction": "reverse",
            },
        ),
        (
            "constexpr_lut_to_dense",
            {"indices": X, "lut": X, "vector_axis": np.int32(0)},
        ),
    ],
)
def test_a_form_nobody_checked_is_refused(operation: str, inputs: Inputs) -> None:
    with pytest.raises(ModelUnusableError, match="reference evaluator"):
        run(operation, **inputs)


# Compressed weights


def test_packed_bits_come_out_lowest_first() -> None:
    packed = np.packbits([1, 0, 1, 0, 1, 1, 1, 1, 1], bitorder="little")

    assert unpack(packed, 3, 3).tolist() == [0b101, 0b110, 0b111]


@pytest.mark.parametrize(
    ("number", "shape", "expected"),
    [
        (35, (2, 2), [[10, 3], [15, 8]]),  # uint4
        (25, (4,), [-6, 3, -1, -8]),  # int4, whose top bit is the sign
        (31, (2,), [0x3A, 0x8F]),  # uint8
    ],
)
def test_weights_smaller_than_a_byte_are_spread(
    number: int, shape: tuple[int, ...], expected: Any
) -> None:
    header = np.array([0xDEADBEEF, 0, 2, 0, 64, 0], "<u4").tobytes()
    blob = np.frombuffer(header.ljust(64, b"\0") + b"\x3a\x8f", np.uint8)

    assert _from_blob(blob, 0, number, shape).tolist() == expected


def test_a_table_of_weights_is_looked_up_by_packed_indices() -> None:
    rng = np.random.default_rng(5)
    indices = rng.integers(0, 64, 20)
    table = rng.standard_normal(64).astype(np.float16)
    bits = (indices[:, None] >> np.arange(6)) & 1
    packed = np.packbits(bits.astype(np.uint8).ravel(), bitorder="little")

    found = run("constexpr_lut_to_dense", indices=packed, lut=table, shape=numbers(4, 5))

    np.testing.assert_array_equal(found, table.astype(np.float32)[indices].reshape(4, 5))


def test_a_newer_table_serves_a_block_of_weights_each() -> None:
    indices = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    tables = np.array([[10, 11], [20, 21]], np.float32).reshape(2, 1, 2, 1)

    found = run("constexpr_lut_to_dense", indices=indices, lut=tables)

    np.testing.assert_array_equal(found, [[10, 11, 11], [21, 20, 20]])


def test_linear_weights_are_scaled_channel_by_channel() -> None:
    data = np.array([[2, 4], [6, 8]], np.int8)
    scale, zero = np.array([0.5, 2], np.float16), np.array([1, 0], np.int8)

    by_channel = run(
        "constexpr_affine_dequantize",
        quantized_data=data,
        zero_point=zero,
        scale=scale,
        axis=np.int32(0),
    )
    at_once = run(
        "constexpr_affine_dequantize",
        quantized_data=data,
        zero_point=np.int8(0),
        scale=np.float16(0.5),
        axis=np.int32(0),
    )

    np.testing.assert_array_equal(by_channel, [[0.5, 1.5], [12, 16]])
    np.testing.assert_array_equal(at_once, [[1, 2], [3, 4]])


def test_newer_linear_weights_are_scaled_block_by_block() -> None:
    data = np.array([[1, 2, 3, 4]], np.int8)
    scale, offset = np.array([[1, 10]], np.float16), np.array([[0, 1]], np.int8)

    plain = run("constexpr_blockwise_shift_scale", data=data, scale=scale)
    moved = run("constexpr_blockwise_shift_scale", data=data, scale=scale, offset=offset)

    np.testing.assert_array_equal(plain, [[1, 2, 30, 40]])
    np.testing.assert_array_equal(moved, [[1, 2, 20, 30]])


# Whole programs, as coremltools wrote them


def test_a_converted_preprocessor_gives_what_pytorch_gave() -> None:
    found = Evaluator(TOY / "Preprocessor.mlpackage").predict(sound())

    assert found["mel_length"].tolist() == [VALID // 160]
    assert found["mel"].shape == (1, 128, 1501)
    np.testing.assert_allclose(found["mel"][0, :, ::50], STAGES["mel"], atol=1e-5)


def test_a_flexible_input_takes_any_length() -> None:
    short = {"audio_signal": sound()["audio_signal"][:, :VALID], "audio_length": numbers(VALID)}

    found = Evaluator(TOY / "Preprocessor.mlpackage").predict(short)

    assert found["mel"].shape == (1, 128, VALID // 160 + 1)
    np.testing.assert_allclose(found["mel"][0, :, ::50], STAGES["mel"][:, :13], atol=1e-5)


def test_a_converted_encoder_gives_what_transformers_gave() -> None:
    # Its weights are halves already; what conversion folds into new constants is rounded once more.
    assert error(encoded(TOY / "Encoder.mlpackage"), STAGES["frames"]) < 1e-4


def test_an_encoder_rounded_to_halves_stays_near_and_finite() -> None:
    frames = encoded(TOY / "Encoder.mlpackage", half=True)

    assert np.isfinite(frames).all()
    assert 1e-5 < error(frames, STAGES["frames"]) < 0.03


@pytest.mark.parametrize(
    ("weights", "low", "high"), [("palettized6", 1e-3, 0.1), ("int8", 1e-4, 0.03)]
)
def test_compressed_weights_cost_a_little_and_no_more(
    weights: str, low: float, high: float
) -> None:
    frames = encoded(FIXTURES / f"Encoder-{weights}.mlpackage")

    assert low < error(frames, STAGES["frames"]) < high


def test_a_fused_front_gives_what_its_parts_give() -> None:
    found = Evaluator(FIXTURES / "Fused.mlpackage").predict(sound())

    frames = found["encoder"][0].T[: int(found["encoder_length"][0])]
    assert error(frames, STAGES["frames"]) < 3e-6


def test_a_prediction_leaves_nothing_behind() -> None:
    evaluator = Evaluator(TOY / "Preprocessor.mlpackage")
    first = evaluator.predict(sound())
    silent = evaluator.predict({"audio_signal": np.zeros((1, 240_000), np.float32),
                                "audio_length": numbers(16_000)})  # fmt: skip
    again = evaluator.predict(sound())

    assert not silent["mel"].any()
    np.testing.assert_array_equal(first["mel"], again["mel"])


# What is refused


def test_a_description_is_read_from_the_package() -> None:
    found = describe(TOY / "Preprocessor.mlpackage")

    assert found.inputs == {
        "audio_signal": Feature("float32", (1, 240_000), flexible=True),
        "audio_length": Feature("int32", (1,)),
    }
    assert found.outputs["mel_length"] == Feature("int32", (1,))


def test_inputs_are_held_to_the_description() -> None:
    features = {"a": Feature("float32", (1, 4)), "b": Feature("int32", (1, 9), flexible=True)}
    a, b = np.zeros((1, 4), np.float32), np.zeros((1, 2), np.int32)

    check_inputs(features, {"a": a, "b": b})
    with pytest.raises(BackendFailedError, match=r"takes a, b, not a$"):
        check_inputs(features, {"a": a})
    with pytest.raises(BackendFailedError, match=r"'a' is float32 \[1, 4\], not float32 \[1, 5\]"):
        check_inputs(features, {"a": np.zeros((1, 5), np.float32), "b": b})
    with pytest.raises(BackendFailedError, match=r"'b' is int32 \[1, 9\], not int64 \[1, 2\]"):
        check_inputs(features, {"a": a, "b": b.astype(np.int64)})


def broken(tmp_path: Path, old: bytes, new: bytes) -> Path:
    """A copy of the toy decoder with some bytes exchanged."""
    copy = tmp_path / "Decoder.mlpackage"
    shutil.copytree(TOY / "Decoder.mlpackage", copy)
    model = copy / "Data/com.apple.CoreML/model.mlmodel"
    content = model.read_bytes()
    assert old in content
    model.write_bytes(content.replace(old, new))
    return copy


def test_an_unknown_operation_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusableError, match=r"does not know 'gatheX', which 'Decoder\.mlpack"):
        Evaluator(broken(tmp_path, b"\x0a\x06gather", b"\x0a\x06gatheX"))


def test_an_unknown_parameter_is_told_with_its_operation(tmp_path: Path) -> None:
    package = broken(tmp_path, b"\x0a\x07indices", b"\x0a\x07indiceX")

    with pytest.raises(ModelUnusableError, match=r"cannot run 'gather'.*indiceX"):
        Evaluator(package).predict(
            {
                "targets": numbers(0).reshape(1, 1),
                "target_length": numbers(1),
                "h_in": np.zeros((2, 1, 16), np.float32),
                "c_in": np.zeros((2, 1, 16), np.float32),
            }
        )


def test_a_cut_package_is_corrupt(tmp_path: Path) -> None:
    copy = tmp_path / "Decoder.mlpackage"
    shutil.copytree(TOY / "Decoder.mlpackage", copy)
    model = copy / "Data/com.apple.CoreML/model.mlmodel"
    whole = model.read_bytes()

    for size in (len(whole) - 1, len(whole) // 2, 10):
        model.write_bytes(whole[:size])
        with pytest.raises(ModelCorruptError):
            read_package(copy)
    model.unlink()
    with pytest.raises(ModelCorruptError, match="cannot read"):
        describe(copy)


@pytest.mark.parametrize(
    ("old", "new"),
    [  # a value nothing gives: an operation's, the result's; an argument twice
        (b"\x0a\x07targets", b"\x0a\x07tarXets"),
        (b"decoder", b"decodeX"),
    ],
)
def test_a_program_whose_names_do_not_meet_is_corrupt(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    copy = tmp_path / "Decoder.mlpackage"
    shutil.copytree(TOY / "Decoder.mlpackage", copy)
    model = copy / "Data/com.apple.CoreML/model.mlmodel"
    head, _, tail = model.read_bytes().rpartition(old)
    model.write_bytes(head + new + tail)
    with pytest.raises(ModelCorruptError, match="nothing in it gives"):
        Evaluator(copy)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_bit_flips_a_package_runs_or_is_refused(tmp_path: Path, seed: int) -> None:
    copy = tmp_path / "Decoder.mlpackage"
    shutil.copytree(TOY / "Decoder.mlpackage", copy)
    model = copy / "Data/com.apple.CoreML/model.mlmodel"
    whole = model.read_bytes()
    inputs = {
        name: np.zeros(feature.shape, feature.dtype)
        for name, feature in describe(copy).inputs.items()
    }
    dice = random.Random(seed)
    for _ in range(20):
        data, bit = bytearray(whole), dice.randrange(8 * len(whole))
        data[bit // 8] ^= 1 << bit % 8
        model.write_bytes(data)
        with suppress(ModelCorruptError, ModelUnusableError, BackendFailedError):
            Evaluator(copy).predict(inputs)


def test_cut_weights_are_corrupt(tmp_path: Path) -> None:
    copy = tmp_path / "Decoder.mlpackage"
    shutil.copytree(TOY / "Decoder.mlpackage", copy)
    weights = copy / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[:200])

    with pytest.raises(ModelCorruptError, match="no weights at offset"):
        read_package(copy)


def test_another_kind_of_model_is_told_apart(tmp_path: Path) -> None:
    package = tmp_path / "Old.mlpackage"
    (package / "Data/com.apple.CoreML").mkdir(parents=True)
    (package / "Data/com.apple.CoreML/model.mlmodel").write_bytes(b"\x08\x04")

    with pytest.raises(ModelUnusableError, match=r"no ML program"):
        read_package(package)


def test_a_description_that_is_none_is_corrupt(tmp_path: Path) -> None:
    package = broken(tmp_path, b"\x0a\x07targets", b"\x0b\x07targets")

    with pytest.raises(ModelCorruptError, match="cannot understand"):
        describe(package)


@pytest.mark.parametrize(
    ("form", "values", "number", "expected"),
    [
        (1, [b"\0\0\x80?"], 11, [1.0]),
        (2, [1, (1 << 64) - 2], 23, [1, -2]),  # not packed
        (2, [b"\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"], 23, [1, -2]),
        (3, [b"\x01\x00"], 1, [True, False]),
        (7, [b"\x00<\x00\xc0"], 10, [1.0, -2.0]),  # halves
        (7, [b"\x3a"], 35, [0x3A]),  # two of four bits, left as they are
    ],
)
def test_immediate_numbers_are_read_in_every_form(
    form: int, values: list[Any], number: int, expected: Any
) -> None:
    held = [v if isinstance(v, int) else memoryview(v) for v in values]

    assert _immediate(form, held, number).tolist() == expected


def test_the_wire_format_is_told_from_noise() -> None:
    assert fields(memoryview(b"\x08\x96\x01\x12\x01a")) == {1: [150], 2: [b"a"]}
    with pytest.raises(ValueError, match="ends past its message"):
        fields(memoryview(b"\x12\x05a"))
    with pytest.raises(KeyError):
        fields(memoryview(b"\x0b"))
