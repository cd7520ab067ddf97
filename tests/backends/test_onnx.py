import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import specs
import tiny_onnx
from onnxruntime.quantization import quantize_dynamic
from support import requires
from tiny_onnx import BLANK, DIMENSION, DURATIONS, Recipe, write_pair

from parakeet_coreml.audio.samples import FRAME, MODEL_WINDOW, Samples
from parakeet_coreml.backends.base import Backend, BackendSpec, Token
from parakeet_coreml.backends.decoder_joint import open_stepper
from parakeet_coreml.backends.graphs import open_session
from parakeet_coreml.backends.onnx import OnnxNetworks, open_onnx
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.backends.transducer.backend import BLOCK
from parakeet_coreml.backends.transducer.tdt import Emission, greedy
from parakeet_coreml.errors import BackendFailedError, ModelMissingError, ModelUnusableError
from parakeet_coreml.selection import ModelSelection

TELEMETRY = "ORT_DISABLE_TELEMETRY"

CHILD = """
import os, sys
import numpy as np
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.registry import open_backend
backend, info = open_backend(BackendSpec("onnx", "random", sys.argv[1], durations=(0, 1, 2, 3, 4)))
backend.transcribe(np.zeros(32000, dtype=np.float32))
backend.close()
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def spec_of(folder: Path) -> BackendSpec:
    return specs.spec_of("onnx", "random", folder)


def opened(folder: Path) -> Backend:
    return open_backend(spec_of(folder))[0]


def networks_of(folder: Path, durations: tuple[int, ...] = (0, 1, 2, 3, 4)) -> OnnxNetworks:
    return OnnxNetworks(
        open_session(folder / "encoder-model.onnx", threads=1),
        open_stepper(folder / "decoder_joint-model.onnx", BLANK, durations),
        blank=BLANK,
        durations=durations,
    )


def babble(samples: int) -> Samples:
    rng = np.random.default_rng(0)
    swell = np.sin(np.arange(samples) / 2000)
    return (rng.normal(0, 0.1, samples) * swell).astype(np.float32)


def tokens_of(folder: Path, window: Samples) -> tuple[Token, ...]:
    return opened(folder).transcribe(window).tokens


def refusal(folder: Path, kind: type[ModelMissingError | ModelUnusableError]) -> str:
    """Return the message of the error, which is one line."""
    with pytest.raises(kind) as raised:
        open_backend(spec_of(folder))
    assert "\n" not in raised.value.message
    return raised.value.message


# What is in the folder


def test_it_says_what_runs_the_model(tmp_path: Path) -> None:
    backend, info = open_backend(spec_of(write_pair(tmp_path)))
    assert (info.backend, info.model, info.compute_units) == ("onnx", "random", "cpu")
    assert re.fullmatch(r"onnxruntime \d+\.\d+\.\d+", info.runtime)
    assert info.max_samples == backend.max_samples == MODEL_WINDOW


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("integer", [onnx.TensorProto.INT32, onnx.TensorProto.INT64])
def test_graphs_with_either_integer_and_any_depth_are_taken(
    tmp_path: Path, layers: int, integer: int
) -> None:
    assert tokens_of(write_pair(tmp_path, Recipe(layers=layers, integer=integer)), babble(48_000))


def test_int8_is_used_where_both_are_there(tmp_path: Path) -> None:
    small = tokens_of(write_pair(tmp_path / "int8", Recipe(seed=1)), babble(48_000))
    write_pair(tmp_path / "both", Recipe(seed=2))
    write_pair(tmp_path / "both", Recipe(seed=1), suffix=".int8")
    assert tokens_of(tmp_path / "both", babble(48_000)) == small


def test_half_an_int8_pair_is_passed_over(tmp_path: Path) -> None:
    whole = tokens_of(write_pair(tmp_path / "whole"), babble(48_000))
    write_pair(tmp_path / "half")
    write_pair(tmp_path / "half", Recipe(seed=1), suffix=".int8")
    (tmp_path / "half" / "decoder_joint-model.int8.onnx").unlink()
    assert tokens_of(tmp_path / "half", babble(48_000)) == whole


@pytest.mark.parametrize("name", ["encoder-model.onnx", "decoder_joint-model.onnx", "vocab.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write_pair(tmp_path) / name).unlink()
    assert name in refusal(tmp_path, ModelMissingError)


def test_an_absent_folder_is_a_missing_model(tmp_path: Path) -> None:
    assert "encoder-model.onnx" in refusal(tmp_path / "nowhere", ModelMissingError)


def test_a_manifest_says_which_id_is_blank(tmp_path: Path) -> None:
    window = babble(48_000)
    expected = tokens_of(write_pair(tmp_path), window)
    vocab = (tmp_path / "vocab.txt").read_text(encoding="utf-8")
    (tmp_path / "vocab.txt").write_text(vocab.replace("<blk>", "▁oh"), encoding="utf-8")
    assert "blank" in refusal(tmp_path, ModelUnusableError)
    (tmp_path / "manifest.json").write_text(json.dumps({"blank": BLANK}), encoding="utf-8")
    assert tokens_of(tmp_path, window) == expected


def test_a_manifest_says_how_long_durations_are(tmp_path: Path) -> None:
    manifest = {"blank": BLANK, "durations": [2, 4, 6, 8, 10]}
    (write_pair(tmp_path) / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    tokens = tokens_of(tmp_path, babble(MODEL_WINDOW))
    assert tokens
    assert all(token.start % (2 * FRAME) == 0 for token in tokens)
    assert {token.duration // FRAME for token in tokens[:-1]} <= {2, 4, 6, 8, 10}


def test_what_an_installed_manifest_states_is_what_is_used(tmp_path: Path) -> None:
    manifest = {"blank": BLANK, "durations": [0, 1, 2, 3, 9]}
    (write_pair(tmp_path) / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    spec = ModelSelection(model=str(tmp_path), backend="onnx").spec()
    backend, _ = open_onnx(BackendSpec.from_json(spec.to_json()))
    networks = backend._networks
    assert networks
    assert (networks.blank, networks.durations) == (BLANK, (0, 1, 2, 3, 9))


# Files that are something else


@pytest.mark.parametrize("name", ["encoder-model.onnx", "decoder_joint-model.onnx"])
@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html><body>404</body></html>", bytes(4096), b"version https://git-lfs"],
    ids=["empty", "page", "zeros", "pointer"],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (write_pair(tmp_path) / name).write_bytes(content)
    message = refusal(tmp_path, ModelUnusableError)
    assert name in message
    assert "ONNXRuntimeError" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_model_is_refused(
    tmp_path: Path, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_pair(tmp_path) / "encoder-model.onnx"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert path.name in refusal(tmp_path, ModelUnusableError)
    assert capfd.readouterr() == ("", "")


def test_swapped_graphs_are_refused_saying_what_was_expected_and_found(tmp_path: Path) -> None:
    write_pair(tmp_path)
    encoder, decoder = tmp_path / "encoder-model.onnx", tmp_path / "decoder_joint-model.onnx"
    shutil.copy(decoder, encoder)
    message = refusal(tmp_path, ModelUnusableError)
    assert "expected audio_signal, length -> outputs, encoded_lengths" in message
    assert "found encoder_outputs, input_states_1" in message


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(outputs=BLANK + 1 + DURATIONS + 1), f"gives {BLANK + 7} values, not {BLANK + 6}"),
        (Recipe(outputs=BLANK + 1), "values, not"),
        (Recipe(bins=80), "80 mel bins, not 128"),
        (Recipe(joint_dimension=8), "do not run"),
    ],
    ids=["one logit more", "no durations", "80 bins", "unlike dimensions"],
)
def test_graphs_that_do_not_fit_are_refused(tmp_path: Path, recipe: Recipe, words: str) -> None:
    assert words in refusal(write_pair(tmp_path, recipe), ModelUnusableError)


def test_open_bins_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    model = tiny_onnx.encoder(Recipe(bins=80))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "bins"
    onnx.save(model, tmp_path / "encoder-model.onnx")
    assert "do not run" in refusal(tmp_path, ModelUnusableError)


def test_a_graph_that_hides_the_size_of_its_state_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    model = tiny_onnx.decoder_joint(Recipe())
    state = next(i for i in model.graph.input if i.name == "input_states_1")
    state.type.tensor_type.shape.dim[2].dim_param = "H"
    onnx.save(model, tmp_path / "decoder_joint-model.onnx")
    assert "input_states_1" in refusal(tmp_path, ModelUnusableError)


@pytest.mark.parametrize("change", [lambda lines: lines[:-3], lambda lines: lines[1:]])
def test_a_vocabulary_of_another_model_is_refused(
    tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    path = write_pair(tmp_path) / "vocab.txt"
    lines = change(path.read_text(encoding="utf-8").splitlines(keepends=True))
    path.write_text("".join(lines), encoding="utf-8")
    refusal(tmp_path, ModelUnusableError)


def test_a_vocabulary_with_too_many_pieces_is_refused(tmp_path: Path) -> None:
    path = write_pair(tmp_path) / "vocab.txt"
    text = path.read_text(encoding="utf-8").replace(f"<blk> {BLANK}", f"▁x {BLANK}")
    path.write_text(f"{text}<blk> {BLANK + 1}\n", encoding="utf-8")
    assert "values, not" in refusal(tmp_path, ModelUnusableError)


# How the networks run


def test_frames_are_judged_in_blocks_while_the_prediction_holds(tmp_path: Path) -> None:
    networks = networks_of(write_pair(tmp_path, Recipe(blank_bias=4.0)))
    frames = networks.encode(babble(MODEL_WINDOW))

    def search() -> tuple[list[Emission], int]:
        networks.tally.joint = 0
        return greedy(networks, frames), networks.tally.joint

    single, steps = search()
    networks.check(tmp_path)
    blocks, runs = search()

    assert networks._block == BLOCK
    assert [(e.token, e.frame, e.duration) for e in blocks] == [
        (e.token, e.frame, e.duration) for e in single
    ]
    np.testing.assert_allclose(
        [e.probability for e in blocks], [e.probability for e in single], rtol=1e-4
    )
    assert len(single) <= runs < steps


def test_a_graph_whose_frames_depend_on_each_other_gets_one_at_a_time(tmp_path: Path) -> None:
    write_pair(tmp_path)
    path = tmp_path / "decoder_joint-model.onnx"
    quantize_dynamic(path, path, op_types_to_quantize=["MatMul"])
    networks = networks_of(tmp_path)
    networks.check(tmp_path)
    assert networks._block == 1


def test_a_graph_for_single_steps_gets_one_at_a_time(tmp_path: Path) -> None:
    write_pair(tmp_path)
    model = tiny_onnx.decoder_joint(Recipe())
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1
    onnx.save(model, tmp_path / "decoder_joint-model.onnx")
    networks = networks_of(tmp_path)
    networks.check(tmp_path)
    assert networks._block == 1


def test_a_state_is_never_written_to(tmp_path: Path) -> None:
    networks = networks_of(write_pair(tmp_path))
    frames = networks.encode(babble(16_000))
    first = networks.predict(BLANK, None)
    before = networks.joint(frames, first)
    second = networks.predict(3, first)
    networks.joint(frames[1:], second)
    networks.joint(frames[2:], networks.predict(4, second))
    assert networks.joint(frames, networks.predict(BLANK, None)) == before
    first.judged = None
    assert networks.joint(frames, first) == before
    assert not any(array.any() for array in networks._stepper.zero)


def test_the_probability_is_over_tokens_and_blank_without_durations(tmp_path: Path) -> None:
    networks = networks_of(write_pair(tmp_path))
    frames = networks.encode(babble(16_000))
    prediction = networks.predict(BLANK, None)
    decision = networks.joint(frames, prediction)
    logits = networks._logits(networks._rows(frames)[:1], prediction)[0].astype(np.float64)
    assert decision.token != BLANK
    tokens = np.exp(logits[: BLANK + 1])
    assert decision.token == tokens.argmax()
    assert decision.probability == pytest.approx(tokens.max() / tokens.sum(), rel=1e-5)
    assert decision.duration_index == logits[BLANK + 1 :].argmax()


def test_t9_large_logits_do_not_flatten_durations(tmp_path: Path) -> None:
    networks = networks_of(write_pair(tmp_path))
    logits = np.full(BLANK + 1 + DURATIONS, -80, dtype=np.float32)
    logits[2] = 80
    logits[-1] = -79
    networks._logits = lambda *_: logits[None]  # type: ignore[method-assign]
    decision = networks.joint(
        np.zeros((1, DIMENSION), dtype=np.float32), networks.predict(BLANK, None)
    )
    assert (decision.token, decision.duration_index) == (2, 4)
    assert decision.probability == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, BLANK, -1])
def test_a_logit_that_is_no_number_is_a_failure(tmp_path: Path, bad: float, place: int) -> None:
    networks = networks_of(write_pair(tmp_path))
    logits = np.zeros(BLANK + 1 + DURATIONS, dtype=np.float32)
    logits[place] = bad
    networks._logits = lambda *_: logits[None]  # type: ignore[method-assign]
    with pytest.raises(BackendFailedError):
        networks.joint(np.zeros((1, DIMENSION), dtype=np.float32), networks.predict(BLANK, None))


def test_audio_that_is_no_number_is_a_failure_not_a_text(tmp_path: Path) -> None:
    window = babble(16_000)
    window[8_000] = np.nan
    with pytest.raises(BackendFailedError):
        opened(write_pair(tmp_path)).transcribe(window)


def test_a_runtime_failure_is_told_in_one_line(tmp_path: Path) -> None:
    networks = networks_of(write_pair(tmp_path))
    with pytest.raises(BackendFailedError) as raised:
        networks.joint(np.zeros((1, 3), dtype=np.float32), networks.predict(BLANK, None))
    assert "\n" not in raised.value.message


# What it must not do


@pytest.mark.parametrize("setting", [None, "0", "", "1"])
def test_telemetry_is_off_whatever_the_environment_says(
    tmp_path: Path, setting: str | None
) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in {TELEMETRY, "CI"}}
    if setting is not None:
        environment[TELEMETRY] = setting
    child = child_of(write_pair(tmp_path), environment)
    assert (child.returncode, child.stdout, child.stderr) == (0, "1\n", "")


def test_it_opens_no_socket_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires("strace", present=shutil.which("strace") is not None)
    model = write_pair(tmp_path / "model")
    home = tmp_path / "home"
    home.mkdir()
    # A build server's CI=true keeps ONNX Runtime quiet and would blind this test.
    environment = {k: v for k, v in os.environ.items() if k not in {"CI", "XDG_CACHE_HOME"}}
    environment |= {TELEMETRY: "0", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    log = tmp_path / "strace.log"
    calls = "trace=socket,connect,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2"
    tracer = ["strace", "-f", "-qq", "-e", calls, "-o", str(log)]
    child = child_of(model, environment, tracer)
    assert (child.returncode, child.stdout, child.stderr) == (0, "1\n", "")
    traced = log.read_text(encoding="utf-8", errors="replace").splitlines()
    assert any("encoder-model.onnx" in line for line in traced)  # the tracer saw it run
    assert not [line for line in traced if re.search(r"AF_INET|connect\(", line)]
    assert not [line for line in traced if re.search(r"O_CREAT|creat\(|mkdir|rename", line)]
    assert list(home.iterdir()) == []


def child_of(
    model: Path, environment: dict[str, str], tracer: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(tracer or []), sys.executable, "-c", CHILD, str(model)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
