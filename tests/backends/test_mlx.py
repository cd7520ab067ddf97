"""The MLX backend on a CPU, against what PyTorch made of the same weights."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import requires

from parakeet_coreml.audio.samples import MODEL_WINDOW
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import BackendFailedError, ModelMissingError, ModelUnusableError

FIXTURES = Path(__file__).parent / "fixtures"
TOY = FIXTURES / "mlx"
STAGES: dict[str, Any] = dict(np.load(FIXTURES / "stages.npz"))
VALID = 100_000


def sound() -> Any:
    """The very sound that models/convert/fixtures.py gave to PyTorch, in its noise."""
    time = np.arange(VALID) / 16_000
    wave = np.sin(2 * np.pi * 300 * time * (1 + time)) * np.sin(9 * time) ** 2
    noise = np.random.default_rng(0).standard_normal(VALID, np.float32) * np.float32(0.01)
    return wave.astype(np.float32) + noise


def spec(folder: Path) -> BackendSpec:
    return BackendSpec("mlx", "toy", str(folder))


@pytest.fixture(scope="module")
def mlx() -> ModuleType:
    requires("mlx", present=find_spec("mlx") is not None and find_spec("parakeet_mlx") is not None)
    from parakeet_coreml.backends import mlx as backend  # noqa: PLC0415  an extra

    return backend


@pytest.fixture
def networks(mlx: ModuleType) -> Any:
    config = json.loads((TOY / "config.json").read_text())
    return mlx.MLXNetworks(mlx._read_model(config, TOY / "model.safetensors"))


@pytest.fixture
def copy(mlx: ModuleType, tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    shutil.copytree(TOY, folder)
    return folder


def test_the_same_tokens_come_out_as_from_pytorch(mlx: ModuleType) -> None:
    backend, info = open_backend(spec(TOY))

    tokens = backend.transcribe(sound()).tokens

    last = VALID // 1280
    expected = [
        (token, frame, min(duration, last - frame))
        for token, frame, duration in STAGES["real_emissions"].tolist()
        if token != 0
    ]
    assert [(t.id, t.start // 1280, t.duration // 1280) for t in tokens] == expected
    kept = STAGES["real_emissions"][:, 0] != 0
    np.testing.assert_allclose(
        [token.probability for token in tokens], STAGES["real_probabilities"][kept], atol=2e-3
    )
    assert (info.backend, info.max_samples) == ("mlx", MODEL_WINDOW)
    assert info.runtime.startswith("mlx ")
    assert info.compute_units in {"cpu", "gpu"}
    backend.close()
    backend.close()


def test_each_network_gives_what_pytorch_gave(networks: Any) -> None:
    frames = networks.encode(sound())
    prediction = networks.predict(17, None)
    logits = networks._logits(STAGES["real_frames"][:1], prediction).ravel()

    np.testing.assert_allclose(frames, STAGES["real_frames"], atol=2e-3)
    np.testing.assert_allclose(np.array(prediction.output).ravel(), STAGES["prediction"], atol=1e-5)
    np.testing.assert_allclose(np.array(prediction.state[0]), STAGES["h"], atol=1e-5)
    np.testing.assert_allclose(np.array(prediction.state[1]), STAGES["c"], atol=1e-5)
    np.testing.assert_allclose(logits, STAGES["real_logits"], atol=1e-4)


@pytest.mark.parametrize("samples", [1, 319, 320, 4_799, MODEL_WINDOW])
def test_any_window_is_taken_without_a_complaint(mlx: ModuleType, samples: int) -> None:
    backend, _ = open_backend(spec(TOY))

    tokens = backend.transcribe(np.resize(sound(), samples)).tokens

    assert all(0 <= token.start < samples for token in tokens)
    assert bool(tokens) == (samples >= 320)


def test_a_big_model_is_halved_on_a_gpu_alone(
    mlx: ModuleType, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, on = networks._model, type("Device", (), {})

    def kind(device: str, small: int) -> Any:
        on.type = getattr(mlx.mx.DeviceType, device)  # type: ignore[attr-defined]
        monkeypatch.setattr(mlx.mx, "default_device", lambda: on)
        monkeypatch.setattr(mlx, "SMALL", small)
        return mlx._kind(model)

    assert kind("gpu", 0) == mlx.mx.bfloat16
    assert kind("gpu", 1 << 30) == mlx.mx.float32
    assert kind("cpu", 0) == mlx.mx.float32


def test_a_halved_model_still_hears(networks: Any, mlx: ModuleType) -> None:
    networks._model.set_dtype(mlx.mx.bfloat16)
    halved = mlx.MLXNetworks(networks._model)

    frames = halved.encode(sound())
    decision = halved.joint(frames, halved.predict(17, halved.predict(17, None)))

    error = np.linalg.norm(frames - STAGES["real_frames"]) / np.linalg.norm(STAGES["real_frames"])
    assert 1e-4 < error < 0.1
    assert 0 <= decision.token <= 17


def test_what_is_no_number_is_no_word(networks: Any) -> None:
    with pytest.raises(BackendFailedError, match="no number"):
        networks.joint(np.full((1, 24), np.nan, np.float32), networks.predict(17, None))


def test_a_failing_device_is_a_failed_window(mlx: ModuleType) -> None:
    class Lost:
        def astype(self, _kind: Any) -> Any:
            raise RuntimeError("[metal::malloc] Resource limit exceeded")

    with pytest.raises(BackendFailedError, match=r"MLX failed: .*malloc"):
        mlx._numbers(Lost())


# Folders that are not what they should be


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()

    with pytest.raises(ModelMissingError, match=name):
        open_backend(spec(copy))


def edited(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return edit


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "config.json").write_text("no json"), "cannot read"),
        (lambda f: (f / "config.json").write_text("[]"), "no configuration"),
        (lambda f: (f / "model.safetensors").write_bytes(b"no weights"), "will not load"),
        (edited(lambda c: c.update(target="another")), "not supported"),
        (edited(lambda c: c["model_defaults"].clear()), "transducer"),
        (edited(lambda c: c["preprocessor"].update(features=80)), "made for 80 bins"),
        (edited(lambda c: c["encoder"].update(d_model=28)), "will not load"),
        (edited(lambda c: c["joint"].pop("jointnet")), "will not load"),
        (edited(lambda c: c["joint"]["vocabulary"].pop()), "gives 23 values, not 22"),
    ],
)
def test_a_model_that_is_none_is_unusable(
    copy: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    spoil(copy)

    with pytest.raises(ModelUnusableError, match=complaint):
        open_backend(spec(copy))


def test_parts_that_do_not_fit_are_unusable(
    mlx: ModuleType, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "encode", lambda _window: np.zeros((3, 5), np.float32))

    with pytest.raises(ModelUnusableError, match="does not run"):
        networks.check(TOY)


def test_without_the_extra_the_command_is_told() -> None:
    """In a process of its own, where nothing of MLX was imported before."""
    program = """
import sys
sys.modules["mlx.core"] = None
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import ModelUnusableError
try:
    open_backend(BackendSpec("mlx", "toy", sys.argv[1]))
except ModelUnusableError as error:
    print(error.message, "|", error.hint)
"""
    found = subprocess.run(
        [sys.executable, "-c", program, str(TOY)], check=True, capture_output=True, text=True
    )

    assert found.stdout.startswith("the mlx backend needs parakeet-mlx: ")
    assert found.stdout.endswith("| pip install 'parakeet-coreml[mlx]'\n")
