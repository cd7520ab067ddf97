"""Where to stop a recording that is played in real time, by the loudness of its audio."""

import wave
from pathlib import Path

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, noise
from parakeet_coreml.recognition import energy

AFTER = SAMPLE_RATE
"""A stop in a pause comes so long after the last word: 1 s."""

ROOM = 3e-4
"""RMS of the noise that follows the sound until it is stopped."""


def prepared(audio: Samples, stop: str) -> tuple[Samples, float]:
    """Return the sound to play and the second to stop it at, from its first sample.

    `pause`: a second after the last speech; `word`: in the middle of it. Sound without speech is
    stopped at its end.
    """
    levels = energy.levels_of(audio)
    spoken = np.flatnonzero(energy.voiced(levels, energy.floor_of(levels)))
    first, last = energy.runs(spoken, 1)[-1] if len(spoken) else (len(levels), len(levels) - 1)
    end = (last + 1) * energy.TICK
    at = end + AFTER if stop == "pause" else (first + last + 1) * energy.TICK // 2
    longest = at + 2 * SAMPLE_RATE  # a late stop must not meet the end of the file
    rest = noise(max(0, longest - len(audio)), ROOM)
    return np.concatenate((audio, rest)), at / SAMPLE_RATE


def write(path: Path, audio: Samples) -> None:
    """Write sound of shape (n,) at 16 kHz as a WAV file of 16 bits."""
    pcm = np.clip(np.round(audio * 32_767), -32_768, 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
