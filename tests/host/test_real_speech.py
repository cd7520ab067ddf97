"""The main job on real speech with the built-in model, through every way in."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from pulse import RATE, PulseServer
from recorder import Start

from parakeet_coreml.audio.samples import SAMPLE_RATE

pytest_plugins = ("host_fixtures",)

SAMPLE = Path(__file__).parents[2] / "parakeet_coreml" / "samples" / "speech.wav"
SAID = SAMPLE.with_suffix(".txt").read_text(encoding="utf-8").split()
TINY = ("--model", "tiny-en", "--backend", "onnx")


def share(said: Sequence[str], heard: Sequence[str]) -> float:
    """Return which share of the words was heard, in order."""
    blocks = difflib.SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(said)


def test_the_bundled_sample_is_heard_over_two_seams(start: Start) -> None:
    recorder = start("--input", SAMPLE, *TINY, model=False).finish(0)
    assert len(recorder.of("chunk")) == 3
    assert share(SAID, recorder.heard) >= 0.95
    assert len(recorder.heard) <= 1.05 * len(SAID)
    assert all(0.5 < chunk["confidence"] <= 1 for chunk in recorder.of("chunk"))


def test_noise_in_front_moves_the_seams_and_neither_loses_nor_doubles_words(
    start: Start, tmp_path: Path
) -> None:
    audio, _ = soundfile.read(SAMPLE, dtype="float32")
    room = np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE).astype(np.float32) * 3e-4
    for seconds in (2, 4):
        moved = tmp_path / f"{seconds}.wav"
        soundfile.write(moved, np.concatenate((room[: seconds * SAMPLE_RATE], audio)), SAMPLE_RATE)
        recorder = start("--input", moved, *TINY, model=False).finish(0)
        assert share(SAID, recorder.heard) >= 0.9
        assert len(recorder.heard) <= 1.05 * len(SAID)


def test_speech_played_into_the_microphone_gives_the_words_of_the_file(
    start: Start, room: PulseServer
) -> None:
    recorder = start("--events", "ready,speech", *TINY, env=room.env, model=False)
    recorder.until("ready", what="capture")
    audio, rate = soundfile.read(SAMPLE, dtype="float32")
    played = soxr.resample(audio[: 10 * rate], rate, RATE)
    room.mic.play((played * 32_767).astype(np.int16)).wait()
    recorder.say("stop")
    recorder.finish(0)
    assert share(SAID[:17], recorder.heard) >= 0.8


def test_digital_silence_and_noise_give_no_words(start: Start, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).standard_normal(20 * SAMPLE_RATE).astype(np.float32) * 0.01
    for name, audio in {"zeros": np.zeros_like(noise), "noise": noise}.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, audio, SAMPLE_RATE)
        assert start("--input", path, *TINY, model=False).finish(0).heard == []
