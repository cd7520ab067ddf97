"""Log-mel features as NeMo's front end computes them for Parakeet. Pure.

    x[n] - 0.97 x[n-1]  ->  |STFT|²  ->  mel  ->  log(· + 2⁻²⁴)  ->  (· - mean) / (std + 1e-5)

A window of n samples gives n // HOP + 1 centred mel frames, of which the first n // HOP are
*valid*: mean and standard deviation run over those alone, and the last frame is zero. NeMo counted
n // HOP + 1 valid frames until 2025; n // HOP is what current NeMo, transformers and the
preprocessor published with the ONNX models count, and what we match (`tests/backends/test_mel.py`).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import HOP, SAMPLE_RATE, Samples

BINS = 128
"""Mel bins that every Parakeet TDT but the 80-bin CTC ones takes."""

_PRE_EMPHASIS = np.float32(0.97)
_N_FFT = 512
_ANALYSIS_WINDOW = SAMPLE_RATE * 25 // 1000  # 25 ms
_LOG_GUARD = np.float32(2.0**-24)
_STD_GUARD = 1e-5

# The mel scale of Slaney's Auditory Toolbox: straight below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_MEL_PER_LOG = 27 / np.log(6.4)


class _Tables(NamedTuple):
    analysis_window: NDArray[np.float32]
    """Symmetric Hann, shape (400,)."""
    rows: NDArray[np.intp]
    """Rows of the spectrum under each triangle, one triangle after the other, shape (n,)."""
    weights: NDArray[np.float32]
    """Heights of the triangles there, shape (n, 1)."""
    starts: NDArray[np.intp]
    """Where in `rows` each triangle begins, shape (BINS,)."""


def valid_frames(samples: int) -> int:
    """Return how many mel frames of a window of so many samples are valid."""
    return samples // HOP


def log_mel(window: Samples) -> NDArray[np.float32]:
    """Return normalised log-mel features, shape (BINS, len(window) // HOP + 1).

    The first `valid_frames(len(window))` columns are valid, the rest are zero. A single valid
    frame has no deviation to divide by and is zero too.
    """
    valid = valid_frames(len(window))
    features = np.zeros((BINS, valid + 1), dtype=np.float32)
    if valid:
        features[:, :valid] = _normalised(_log_energies(window, valid))
    return features


def _log_energies(window: Samples, frames: int) -> NDArray[np.float32]:
    """Return the logarithm of the mel energies, shape (BINS, frames)."""
    tables = _tables()
    # Frame k is centred on sample k * HOP. torch.stft sets the analysis window in the middle of
    # n_fft samples; for power it makes no difference where the zeros around it are.
    margin = _ANALYSIS_WINDOW // 2
    padded = np.zeros(margin + len(window) + margin, dtype=np.float32)
    emphasised = padded[margin : margin + len(window)]
    emphasised[:] = window
    emphasised[1:] -= _PRE_EMPHASIS * window[:-1]
    strided = np.lib.stride_tricks.sliding_window_view(padded, _ANALYSIS_WINDOW)
    spectrum = np.fft.rfft(strided[::HOP][:frames] * tables.analysis_window, n=_N_FFT)
    power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T)  # (257, frames)
    # Triangles are narrow, so few products are not zero. A matrix product is 1.5 ms faster, but
    # the threads NumPy does it with then spin for 60 ms on the cores the encoder wants.
    weighted = power[tables.rows]
    weighted *= tables.weights
    return np.log(np.add.reduceat(weighted, tables.starts, axis=0) + _LOG_GUARD)


def _normalised(energies: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each bin with mean 0 and deviation 1 over the frames, shape as given."""
    # Float64: the mean of a constant must be that constant, or 1e-5 blows its error up.
    centred = energies - energies.mean(axis=1, dtype=np.float64, keepdims=True)
    frames = energies.shape[1]
    variance = np.einsum("bt,bt->b", centred, centred) / max(frames - 1, 1)
    return np.asarray(centred / (np.sqrt(variance)[:, None] + _STD_GUARD))


@cache
def _tables() -> _Tables:
    triangles = _filterbank().T
    triangle, rows = triangles.nonzero()
    return _Tables(
        np.hanning(_ANALYSIS_WINDOW).astype(np.float32),
        rows,
        triangles[triangle, rows][:, None],
        np.searchsorted(triangle, np.arange(BINS)),
    )


def _filterbank() -> NDArray[np.float32]:
    """Return triangles of equal area, evenly spaced in mel from 0 Hz to half the sample rate."""
    edges = _to_hz(np.linspace(0.0, _to_mel(SAMPLE_RATE / 2), BINS + 2))
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    hz = np.fft.rfftfreq(_N_FFT, 1 / SAMPLE_RATE)[:, None]
    rising = (hz - lower) / (centre - lower)
    falling = (upper - hz) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))  # (257, BINS)
    return (triangles * (2.0 / (upper - lower))).astype(np.float32)


def _to_mel(hz: float) -> float:
    """Return the mel of a frequency of 1 kHz or more."""
    return float(_KNEE_MEL + np.log(hz / _KNEE_HZ) * _MEL_PER_LOG)


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _KNEE_HZ * np.exp((np.maximum(mel, _KNEE_MEL) - _KNEE_MEL) / _MEL_PER_LOG)
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)
