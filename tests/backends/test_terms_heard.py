"""A list of terms with real networks: the same words everywhere, and none that nobody says."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import requires

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import Hypothesis, Term
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.recognition.words import text_of, words_of
from parakeet_coreml.recording.terms import terms_of
from parakeet_coreml.selection import ModelSelection

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
NOBODYS = ROOT / "tests" / "bench" / "distractors.txt"
SAID = 220_000
"""Before the sample says: please close the window and lock the door."""


def noisy(amount: float, start: int) -> Samples:
    sound, _ = soundfile.read(SAMPLE, dtype="float32")
    noise = np.random.default_rng(0).normal(0, amount, len(sound)).astype(np.float32)
    window: Samples = (sound + noise)[start : start + MODEL_WINDOW]
    return window


def heard(backend: str, *terms: Term, windows: list[Samples]) -> list[Hypothesis]:
    spec = ModelSelection(model="tiny-en", backend=backend).spec()._replace(terms=terms)
    opened, info = open_backend(spec)
    assert info.notes == ()
    found = [opened.transcribe(window) for window in windows]
    opened.close()
    return found


@pytest.mark.parametrize("backend", ["onnx", "coreml", "mlx"])
def test_the_same_list_gives_the_same_words_everywhere(backend: str) -> None:
    if backend == "mlx":
        requires("mlx", present=find_spec("parakeet_mlx") is not None)
    window = noisy(0.07, SAID)  # where it is in doubt
    (without,) = heard(backend, windows=[window])
    (with_list,) = heard(backend, Term("doctor's"), Term("kubernetes"), windows=[window])
    text, listed = (text_of(words_of(one.tokens)) for one in (without, with_list))
    assert "the doctor completion five five three seven" in text
    # Two words are other than without the list, and in every form the same two.
    assert listed == text.replace("doctor completion", "doctor's converso")


def test_a_list_of_terms_that_nobody_says_changes_nothing() -> None:
    windows = [noisy(amount, at) for amount in (0, 0.01, 0.02, 0.05, 0.1) for at in (0, SAID)]
    absent = terms_of(str(NOBODYS), ())
    assert len(absent) > 90
    without, with_list = heard("onnx", windows=windows), heard("onnx", *absent, windows=windows)
    assert [h.tokens for h in with_list] == [h.tokens for h in without]


def test_a_recording_tells_which_terms_were_written_and_where(tmp_path: Path) -> None:
    listed = tmp_path / "terms.txt"
    listed.write_text("walked\nquay\nthe river = der river\nab\nçedilla\n", encoding="utf-8")
    sound = tmp_path / "said.wav"
    soundfile.write(sound, noisy(0.0, SAID), SAMPLE_RATE)
    command = [sys.executable, "-m", "parakeet_coreml", "progressive-record", "--input", str(sound)]
    command += ["--model", "tiny-en", "--backend", "onnx", "--vocabulary", str(listed)]
    command += ["--phrase", "along", "--language", "pl", "--meta", "--events", "warning"]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0
    warned = {line["code"]: line["message"] for line in lines if line["type"] == "warning"}
    assert set(warned) - {"model_loading"} == {"vocabulary", "language"}  # on a busy machine
    assert "'ab' (line 4)" in warned["vocabulary"]
    assert "'çedilla' (line 5)" in warned["vocabulary"]
    terms = [term for line in lines for term in line.get("terms", ())]
    assert [term["text"] for term in terms] == ["walked", "along", "the river"]
    assert all(0 <= term["start_ms"] < term["end_ms"] <= 15_000 for term in terms)


@pytest.mark.parametrize("at", [12.5, 13.0, 13.5, 14.0, 14.5, 14.9])
def test_a_term_across_the_border_of_two_windows_is_written_once(at: float, tmp_path: Path) -> None:
    said = 5.9  # seconds until `walked along`
    sound = noisy(0.0, SAID)
    moved = np.concatenate([np.zeros(round((at - said) * SAMPLE_RATE), np.float32), sound])
    soundfile.write(tmp_path / "said.wav", moved, SAMPLE_RATE)
    command = [sys.executable, "-m", "parakeet_coreml", "progressive-record", "--meta"]
    command += ["--input", str(tmp_path / "said.wav"), "--model", "tiny-en", "--backend", "onnx"]
    command += ["--phrase", "strolled along = walked along"]
    child = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    text = lines[-1]["full_text"]
    assert text.count("the children strolled along the river") == 1
    assert [word for word in text.split() if word in ("walked", "strolled")] == ["strolled"]


@pytest.mark.parametrize("how", [["--vocabulary", "."], ["--language", "xx"], ["--boost", "7"]])
def test_what_cannot_be_preferred_ends_with_2_and_an_empty_stdout(how: list[str]) -> None:
    command = [sys.executable, "-m", "parakeet_coreml", "progressive-record", "--model", "tiny-en"]
    command += ["--input", str(SAMPLE), *how]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (child.returncode, child.stdout) == (2, "")
    assert how[0] in child.stderr
    assert "Traceback" not in child.stderr
