from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import HOP, MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends.graphs import open_session
from parakeet_coreml.backends.transducer.mel import BINS, _filterbank, log_mel, valid_frames

Session = Any  # of onnxruntime, which ships no types


def babble(samples: int, *, loudness: float = 0.1, seed: int = 0) -> Samples:
    """Return noise that swells and fades like syllables."""
    rng = np.random.default_rng(seed)
    swell = np.sin(np.arange(samples) / 3000)
    return (rng.normal(0, loudness, samples) * swell).astype(np.float32)


def tone(hz: float, samples: int) -> Samples:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(samples) / SAMPLE_RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def data() -> Path:
    """Where onnx-asr keeps its preprocessors; importing it would load ONNX Runtime unguarded."""
    spec = find_spec("onnx_asr")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "preprocessors" / "data"


@pytest.fixture(scope="module")
def published(data: Path) -> Session:
    """The preprocessor that is published with the ONNX models, exported from NeMo's."""
    return open_session(data / "nemo128.onnx", threads=1)


def features_of(published: Session, window: Samples) -> tuple[NDArray[np.float32], int]:
    feeds = {"waveforms": window[None], "waveforms_lens": np.array([len(window)])}
    features, lengths = published.run(["features", "features_lens"], feeds)
    return features[0], int(lengths[0])


@pytest.mark.parametrize(
    "samples", [1, 100, 159, 320, 321, 1279, 1280, 1281, 16_000, 77_777, MODEL_WINDOW]
)
def test_features_are_those_of_the_published_preprocessor(published: Session, samples: int) -> None:
    window = babble(samples)
    expected, valid = features_of(published, window)
    features = log_mel(window)
    assert features.dtype == np.float32
    assert features.shape == expected.shape == (BINS, samples // HOP + 1)
    assert valid == valid_frames(samples)
    # Theirs sums in float32: against float64 throughout, theirs is off by 8e-5 and ours by 3e-5.
    np.testing.assert_allclose(features, expected, atol=2e-4)


def test_a_tone_gives_the_features_of_the_published_preprocessor(
    published: Session,
) -> None:
    window = tone(440, 16_000) + babble(16_000, loudness=0.01)
    np.testing.assert_allclose(log_mel(window), features_of(published, window)[0], atol=2e-4)


def test_the_filterbank_is_that_of_librosa(data: Path) -> None:
    with np.load(data / "fbanks.npz") as theirs:
        np.testing.assert_allclose(_filterbank(), theirs["nemo128"], atol=1e-7)


def test_frames_past_the_valid_ones_are_zero() -> None:
    features = log_mel(babble(16_000))
    assert not features[:, valid_frames(16_000) :].any()
    assert features[:, valid_frames(16_000) - 1].any()


def test_every_bin_has_mean_0_and_deviation_1_over_the_valid_frames_alone() -> None:
    valid = log_mel(babble(16_159))[:, : valid_frames(16_159)].astype(np.float64)
    np.testing.assert_allclose(valid.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(valid.std(axis=1, ddof=1), 1, atol=1e-3)


def test_samples_after_the_last_whole_hop_can_still_be_heard() -> None:
    window = babble(16_159)
    louder = window.copy()
    louder[16_000:] *= 3  # inside the last frame's analysis window
    assert np.abs(log_mel(louder) - log_mel(window)).max() > 0.01


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 319])
def test_a_window_too_short_for_a_deviation_has_zero_features(samples: int) -> None:
    # NeMo's export gives NaN for one valid frame; NeMo itself, since 2024, zero.
    features = log_mel(babble(samples))
    assert features.shape == (BINS, samples // HOP + 1)
    assert not features.any()


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_a_constant_gives_finite_features(level: float) -> None:
    assert np.isfinite(log_mel(np.full(SAMPLE_RATE, level, dtype=np.float32))).all()


def test_digital_silence_has_no_features_at_all() -> None:
    assert np.abs(log_mel(np.zeros(MODEL_WINDOW, dtype=np.float32))).max() < 1e-3


def test_the_window_is_left_as_it_was() -> None:
    window = babble(5_000)
    before = window.copy()
    log_mel(window)
    np.testing.assert_array_equal(window, before)


def test_a_read_only_window_is_taken() -> None:
    window = babble(5_000)
    window.flags.writeable = False
    assert log_mel(window).any()
