"""One suite that every backend passes. A new backend adds a line to `OPENERS`."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import specs
import tiny_onnx
from support import requires

from parakeet_coreml import backends
from parakeet_coreml.audio.samples import HOP, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Backend, BackendInfo, BackendSpec, Hypothesis
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import ModelUnusableError


def scripted(folder: Path) -> BackendSpec:
    script = folder / "script.json"
    script.write_text(json.dumps({"tones": {"440": "one", "620": "two"}}), encoding="utf-8")
    return BackendSpec("scripted", "tones", str(script))


def onnx(folder: Path) -> BackendSpec:
    return specs.spec_of("onnx", "random", tiny_onnx.write_pair(folder))


def coreml(folder: Path) -> BackendSpec:
    return specs.spec_of("coreml", "toy", Path(__file__).parent / "fixtures" / "toy")


def mlx(folder: Path) -> BackendSpec:
    requires("mlx", present=find_spec("mlx") is not None and find_spec("parakeet_mlx") is not None)
    return BackendSpec("mlx", "toy", str(Path(__file__).parent / "fixtures" / "mlx"))


OPENERS: dict[str, Callable[[Path], BackendSpec]] = {
    "scripted": scripted,
    "onnx": onnx,
    "coreml": coreml,
    "mlx": mlx,
}


def beeps(samples: int) -> Samples:
    """Return bursts of two tones over faint noise: something for every kind of backend."""
    t = np.arange(samples)
    hz = np.where(t // 8000 % 4 == 1, 440, 620)
    sounding = t // 8000 % 2 == 1
    tone = 0.3 * np.sin(2 * np.pi * hz * t / SAMPLE_RATE) * sounding
    noise = np.random.default_rng(0).normal(0, 1e-4, samples)
    return np.asarray(tone + noise, dtype=np.float32)


@pytest.fixture(scope="module", params=list(OPENERS))
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Backend, BackendInfo]]:
    spec = OPENERS[request.param](tmp_path_factory.mktemp(request.param))
    backend, info = open_backend(spec)
    with closing(backend):
        yield backend, info


@pytest.fixture
def backend(opened: tuple[Backend, BackendInfo]) -> Backend:
    return opened[0]


def check(hypothesis: Hypothesis, samples: int) -> None:
    starts = [token.start for token in hypothesis.tokens]
    assert starts == sorted(starts)
    for token in hypothesis.tokens:
        assert type(token.start) is type(token.duration) is int
        assert 0 <= token.start < samples
        assert 0 <= token.duration <= samples - token.start
        assert token.piece
        assert math.isfinite(token.probability)
        assert 0 < token.probability <= 1


@pytest.mark.parametrize("samples", [1, 100, HOP - 1, HOP, 2 * HOP - 1])
def test_a_window_with_hardly_anything_in_it_is_answered(backend: Backend, samples: int) -> None:
    check(backend.transcribe(beeps(samples)), samples)


@pytest.mark.parametrize("samples", [2 * HOP, 1279, 1280, 1281, 16_000, 77_777])
def test_times_rise_and_stay_inside_the_window(backend: Backend, samples: int) -> None:
    check(backend.transcribe(beeps(samples)), samples)


def test_the_longest_window_is_heard_to_its_end(backend: Backend) -> None:
    samples = backend.max_samples
    hypothesis = backend.transcribe(beeps(samples))
    check(hypothesis, samples)
    assert hypothesis.tokens[-1].start > samples - 2 * SAMPLE_RATE


def test_the_same_window_gives_the_same_answer(backend: Backend) -> None:
    window = beeps(50_000)
    first = backend.transcribe(window)
    assert first
    backend.transcribe(beeps(20_000))
    assert backend.transcribe(window) == first


def test_the_window_is_only_read(backend: Backend) -> None:
    window = beeps(30_000)
    before = window.copy()
    window.flags.writeable = False
    backend.transcribe(window)
    np.testing.assert_array_equal(window, before)


def test_a_view_into_other_audio_is_a_window(backend: Backend) -> None:
    audio = np.stack([beeps(40_000), np.zeros(40_000, dtype=np.float32)], axis=1)
    assert backend.transcribe(audio[:, 0]) == backend.transcribe(beeps(40_000))


def test_a_window_too_long_or_empty_is_a_programming_mistake(backend: Backend) -> None:
    for samples in (0, backend.max_samples + 1):
        with pytest.raises(ValueError, match="window"):
            backend.transcribe(np.zeros(samples, dtype=np.float32))


def test_two_dimensions_are_a_programming_mistake(backend: Backend) -> None:
    with pytest.raises(ValueError, match="window"):
        backend.transcribe(np.zeros((1, 16_000), dtype=np.float32))


def test_it_says_what_it_is(
    opened: tuple[Backend, BackendInfo], request: pytest.FixtureRequest
) -> None:
    backend, info = opened
    assert info.backend == request.node.callspec.params["opened"]
    assert info.max_samples == backend.max_samples
    assert info.runtime
    assert info.load_ms >= 0


@pytest.mark.parametrize("name", OPENERS)
def test_closing_twice_is_closing_once(name: str, tmp_path: Path) -> None:
    backend, _ = open_backend(OPENERS[name](tmp_path))
    backend.close()
    backend.close()


@pytest.mark.parametrize("name", ["onnx", "coreml", "mlx"])
def test_a_backend_that_is_left_out_of_a_bundle_is_one_clear_error(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # None makes an import fail, as in a frozen program that was built without the module.
    monkeypatch.setitem(sys.modules, f"parakeet_coreml.backends.{name}", None)
    monkeypatch.delattr(backends, name, raising=False)
    with pytest.raises(ModelUnusableError, match=f"backend {name} cannot be loaded"):
        open_backend(BackendSpec(name, "model", str(tmp_path)))
