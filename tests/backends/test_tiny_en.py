"""The built-in model in all three forms: the same words, from the samples that ship with it."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import specs
from support import requires

import parakeet_coreml
from parakeet_coreml.audio.samples import MODEL_WINDOW, Samples
from parakeet_coreml.backends.base import Token
from parakeet_coreml.backends.coreml import CoreMLNetworks, Programs
from parakeet_coreml.backends.reference.evaluator import Evaluator
from parakeet_coreml.backends.reference.mlpackage import describe
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.backends.transducer.mel import log_mel, valid_frames
from parakeet_coreml.backends.transducer.tdt import greedy

PACKAGE = Path(parakeet_coreml.__file__).parent
MODEL = PACKAGE / "tiny_en"
BACKENDS = ("onnx", "coreml", "mlx")


@cache
def window() -> Samples:
    samples, rate = soundfile.read(PACKAGE / "samples" / "speech.wav", dtype="float32")
    assert rate == 16_000
    return np.ascontiguousarray(samples[:MODEL_WINDOW])


@cache
def tokens(name: str) -> tuple[Token, ...]:
    backend, _ = open_backend(specs.spec_of(name, "tiny-en", MODEL))
    return backend.transcribe(window()).tokens


def heard(name: str) -> list[tuple[int, int, int]]:
    return [(token.id, token.start, token.duration) for token in tokens(name)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "mlx":
        requires("mlx", present=all(find_spec(name) for name in ("mlx", "parakeet_mlx")))
    return str(request.param)


def test_every_backend_hears_the_same_tokens_at_the_same_places(backend: str) -> None:
    assert len(heard("onnx")) > 20
    assert heard(backend) == heard("onnx")


def test_probabilities_agree(backend: str) -> None:
    ours = [token.probability for token in tokens(backend)]
    theirs = [token.probability for token in tokens("onnx")]

    np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_the_packages_preprocessor_computes_our_features() -> None:
    samples = np.zeros((1, MODEL_WINDOW), np.float32)
    length = 100_000
    samples[0, :length] = window()[:length]

    found = Evaluator(MODEL / "Preprocessor.mlpackage").predict(
        {"audio_signal": samples, "audio_length": np.array([length], np.int32)}
    )

    assert found["mel"].shape == (1, 128, 1501)
    assert found["mel_length"].tolist() == [valid_frames(length)]
    ours = log_mel(window()[:length])
    np.testing.assert_allclose(found["mel"][0, :, : ours.shape[1]], ours, atol=2e-3)
    assert not found["mel"][0, :, valid_frames(length) :].any()


@pytest.mark.parametrize("length", [1, 160, 319])
def test_features_of_next_to_nothing_are_numbers(length: int) -> None:
    found = Evaluator(MODEL / "Preprocessor.mlpackage").predict(
        {
            "audio_signal": window()[None, :length].copy(),
            "audio_length": np.array([length], np.int32),
        }
    )

    assert np.isfinite(found["mel"]).all()


def test_the_words_survive_results_rounded_to_halves() -> None:
    """As on a device that stores halves: nothing overflows, and nothing is heard otherwise."""
    names = ("Preprocessor", "Encoder", "Decoder", "JointDecision")
    parts = [Evaluator(MODEL / f"{name}.mlpackage", half=True) for name in names]
    manifest = json.loads((MODEL / "manifest.json").read_text())
    networks = CoreMLNetworks(
        Programs(*parts), blank=manifest["blank"], durations=tuple(manifest["durations"])
    )

    frames = networks.encode(window())
    found = [emission.token for emission in greedy(networks, frames)]

    assert np.isfinite(frames).all()
    assert found == [token.id for token in tokens("coreml")]


def test_the_manifest_tells_the_truth_of_every_form() -> None:
    manifest = json.loads((MODEL / "manifest.json").read_text())
    decoder = describe(MODEL / "Decoder.mlpackage")
    encoder = describe(MODEL / "Encoder.mlpackage")
    config = json.loads((MODEL / "config.json").read_text())

    assert manifest["blank"] == len(config["joint"]["vocabulary"])
    assert manifest["durations"] == config["decoding"]["durations"]
    layers, hidden = manifest["predictor_layers"], manifest["predictor_hidden"]
    assert decoder.inputs["h_in"].shape == (layers, 1, hidden)
    assert encoder.outputs["encoder"].shape == (1, manifest["encoder_dim"], 188)
    for name, file in manifest["files"].items():
        assert (MODEL / name).stat().st_size == file["size"], name


def test_parakeet_mlx_searches_to_the_same_tokens() -> None:
    requires("mlx", present=all(find_spec(name) for name in ("mlx", "parakeet_mlx")))
    from parakeet_coreml.backends import mlx  # noqa: PLC0415  an extra

    networks = mlx.MLXNetworks(
        mlx._read_model(
            json.loads((MODEL / "config.json").read_text()), MODEL / "model.safetensors"
        )
    )
    frames = networks.encode(window())

    (found,), _ = networks._model.decode(mlx.mx.array(frames[None]), last_token=[networks.blank])

    ours = [(emission.token, emission.frame) for emission in greedy(networks, frames)]
    assert [(token.id, round(token.start / 0.08)) for token in found] == ours
