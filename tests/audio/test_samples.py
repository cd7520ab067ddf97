"""What audio is: the noise that stands in for sound."""

import subprocess
import sys

import numpy as np
import pytest

from parakeet_coreml.audio.samples import SAMPLE_RATE, noise


def test_noise_is_always_the_same_and_as_loud_as_asked() -> None:
    low = noise(SAMPLE_RATE, 1e-3)
    assert low.dtype == np.float32
    assert np.array_equal(low, noise(SAMPLE_RATE, 1e-3))
    assert low.std() == pytest.approx(1e-3, rel=0.02)
    assert abs(low.mean()) < 2e-5
    assert noise(0, 1e-3).shape == (0,)


def test_noise_is_white() -> None:
    power = np.abs(np.fft.rfft(noise(60 * SAMPLE_RATE, 1.0).reshape(-1, 1_600))) ** 2
    per_bin = power[:, 1:-1].mean(axis=0)
    assert per_bin.max() < 1.3 * per_bin.mean()
    assert per_bin.min() > 0.7 * per_bin.mean()


def test_noise_takes_no_generator_of_numpy_along() -> None:
    program = (
        "import sys; from parakeet_coreml.audio.samples import noise; noise(9, 1.0); "
        "print([name for name in sys.modules if name.startswith('numpy.random')])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
