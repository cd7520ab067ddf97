import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE, Samples
from parakeet_coreml.backends.base import BackendSpec, Hypothesis
from parakeet_coreml.backends.scripted import Failure, Reply, ScriptedBackend, Spoken, open_scripted
from parakeet_coreml.errors import BackendFailedError, ModelUnusableError, UsageError

SECOND = np.zeros(SAMPLE_RATE, dtype=np.float32)

CHILD = """
import sys, numpy as np
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.scripted import open_scripted
backend, _ = open_scripted(BackendSpec.from_json(sys.argv[1]))
print("asked", flush=True)
tokens = backend.transcribe(np.zeros(16000, dtype=np.float32)).tokens
print("answered", " ".join(t.piece for t in tokens), flush=True)
"""


def spec_of(folder: Path, script: object, *, served: int = 0, attempt: int = 0) -> BackendSpec:
    path = folder / "script.json"
    path.write_text(json.dumps(script), encoding="utf-8")
    return BackendSpec("scripted", "script", str(path), served=served, attempt=attempt)


def texts(hypothesis: Hypothesis) -> list[str]:
    return [token.piece.removeprefix("▁") for token in hypothesis.tokens]


def spans(hypothesis: Hypothesis) -> list[tuple[int, int]]:
    return [(token.start, token.start + token.duration) for token in hypothesis.tokens]


def bursts(samples: int, *sounds: tuple[float, int, int]) -> Samples:
    """Return silence with sine bursts of a frequency from one sample to another."""
    audio = np.zeros(samples, dtype=np.float32)
    for hz, start, stop in sounds:
        t = np.arange(stop - start)
        audio[start:stop] = 0.2 * np.cos(2 * np.pi * hz * t / SAMPLE_RATE)
    return audio


# Windows by number


def test_each_window_gets_its_text_and_those_after_the_last_are_silent() -> None:
    backend = ScriptedBackend(["fix the login", "", "bug"])
    heard = [texts(backend.transcribe(SECOND)) for _ in range(5)]
    assert heard == [["fix", "the", "login"], [], ["bug"], [], []]


def test_words_share_the_window_evenly() -> None:
    hypothesis = ScriptedBackend(["one two three four"]).transcribe(SECOND)
    assert spans(hypothesis) == [(0, 4000), (4000, 8000), (8000, 12000), (12000, 16000)]


def test_timed_words_keep_their_times_and_stay_in_the_window() -> None:
    words = (Spoken("fix", 0.25, 0.5), Spoken("the", 0.75, 2.0), Spoken("bug", 1.0, 1.5))
    hypothesis = ScriptedBackend([Reply(words=words, probability=0.5)]).transcribe(SECOND)
    assert texts(hypothesis) == ["fix", "the"]
    assert spans(hypothesis) == [(4000, 8000), (12000, 16000)]
    assert {token.probability for token in hypothesis.tokens} == {0.5}


def test_a_fresh_process_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    script = {"windows": [{"text": "one"}, {"text": "two"}, {"text": "three"}]}
    backend, _ = open_scripted(spec_of(tmp_path, script, served=1))
    assert texts(backend.transcribe(SECOND)) == ["two"]
    assert texts(backend.transcribe(SECOND)) == ["three"]


def test_a_delay_is_waited_for(tmp_path: Path) -> None:
    backend, info = open_scripted(
        spec_of(tmp_path, {"windows": [{"text": "one", "delay_s": 0.05}], "load_s": 0.05})
    )
    assert info.load_ms >= 50
    began = time.perf_counter()
    backend.transcribe(SECOND)
    assert time.perf_counter() - began >= 0.05


# Failures


def test_a_window_fails_as_often_as_it_is_told_and_is_then_answered() -> None:
    backend = ScriptedBackend([Reply("one", fail=Failure("error", attempts=2)), "two"])
    for _ in range(2):
        with pytest.raises(BackendFailedError):
            backend.transcribe(SECOND)
    assert texts(backend.transcribe(SECOND)) == ["one"]
    assert texts(backend.transcribe(SECOND)) == ["two"]


def test_attempts_of_earlier_processes_count_for_the_first_window_only() -> None:
    failing = Failure("error", attempts=2)
    backend = ScriptedBackend(
        ["", Reply("one", fail=failing), Reply("two", fail=failing)], served=1, attempt=2
    )
    assert texts(backend.transcribe(SECOND)) == ["one"]
    for _ in range(2):
        with pytest.raises(BackendFailedError):
            backend.transcribe(SECOND)
    assert texts(backend.transcribe(SECOND)) == ["two"]


def test_garbage_is_a_token_that_no_model_gives() -> None:
    backend = ScriptedBackend([Reply("one", fail=Failure("garbage"))])
    (token,) = backend.transcribe(SECOND).tokens
    assert token.id < 0
    assert token.start < 0
    assert token.probability != token.probability


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_load_fails_as_often_as_it_is_told(tmp_path: Path, attempt: int) -> None:
    script = {"windows": [], "load_fail": {"how": "error", "attempts": 2}}
    with pytest.raises(ModelUnusableError):
        open_scripted(spec_of(tmp_path, script, attempt=attempt))
    open_scripted(spec_of(tmp_path, script, attempt=2))


@pytest.mark.parametrize(
    ("how", "code"),
    [("exit", 3), ("abort", -signal.SIGABRT), ("segv", -signal.SIGSEGV), ("noise", 0)],
)
def test_a_process_dies_as_told(tmp_path: Path, how: str, code: int) -> None:
    spec = spec_of(tmp_path, {"windows": [{"text": "one", "fail": {"how": how}}]})
    child = subprocess.run(
        [sys.executable, "-c", CHILD, spec.to_json()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == code
    answered = ["noise on file descriptor 1", "answered ▁one"] if how == "noise" else []
    assert child.stdout.splitlines() == ["asked", *answered]


def test_a_process_hangs_as_told(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, {"windows": [{"text": "one", "fail": {"how": "hang"}}]})
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, spec.to_json()], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "asked\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.kill()
        assert child.stdout.read() == ""


# Tones

TONES = {"tones": {"440": "one", "620": "two", "900": "three"}}


def test_bursts_are_heard_by_their_frequency_on_encoder_frames(tmp_path: Path) -> None:
    backend, _ = open_scripted(spec_of(tmp_path, TONES))
    audio = bursts(40_000, (900, 5_000, 9_000), (440, 12_000, 14_000), (630, 20_000, 26_000))
    hypothesis = backend.transcribe(audio)
    assert texts(hypothesis) == ["three", "one", "two"]
    on_frames = [(3 * FRAME, 8 * FRAME), (9 * FRAME, 11 * FRAME), (15 * FRAME, 21 * FRAME)]
    assert spans(hypothesis) == on_frames


@pytest.mark.parametrize(("hz", "heard"), [(440 * 1.04, ["one"]), (440 * 0.96, ["one"])])
def test_a_tone_a_little_off_is_still_heard(tmp_path: Path, hz: float, heard: list[str]) -> None:
    backend, _ = open_scripted(spec_of(tmp_path, TONES))
    assert texts(backend.transcribe(bursts(16_000, (hz, 4_000, 8_000)))) == heard


@pytest.mark.parametrize("hz", [440 * 1.08, 300, 3000])
def test_an_unknown_tone_is_not_heard(tmp_path: Path, hz: float) -> None:
    backend, _ = open_scripted(spec_of(tmp_path, TONES))
    assert not backend.transcribe(bursts(16_000, (hz, 4_000, 8_000)))


@pytest.mark.parametrize(("samples", "heard"), [(700, 0), (900, 0), (1_000, 1), (1_600, 1)])
def test_what_the_edge_leaves_of_a_burst_is_heard_from_60_ms_on(
    tmp_path: Path, samples: int, heard: int
) -> None:
    backend, _ = open_scripted(spec_of(tmp_path, TONES))
    at_start = bursts(16_000, (440, 0, samples))
    at_end = bursts(16_000, (440, 16_000 - samples, 16_000))
    assert len(backend.transcribe(at_start).tokens) == heard
    assert len(backend.transcribe(at_end).tokens) == heard


def test_faint_noise_is_silence(tmp_path: Path) -> None:
    backend, _ = open_scripted(spec_of(tmp_path, TONES))
    noise = np.random.default_rng(0).normal(0, 2e-3, 48_000).astype(np.float32)
    assert not backend.transcribe(noise)
    assert texts(backend.transcribe(noise + bursts(48_000, (620, 10_000, 13_000)))) == ["two"]


def test_a_window_fails_by_its_number(tmp_path: Path) -> None:
    script = {**TONES, "failures": {"3": {"how": "error"}}}
    backend, _ = open_scripted(spec_of(tmp_path, script, served=2))
    audio = bursts(16_000, (440, 4_000, 8_000))
    assert texts(backend.transcribe(audio)) == ["one"]
    with pytest.raises(BackendFailedError):
        backend.transcribe(audio)
    assert texts(backend.transcribe(audio)) == ["one"]


# Nonsense


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ([], "script"),
        ({"window": []}, "window"),
        ({"windows": {}}, "windows"),
        ({"windows": ["one"]}, r"windows\[0\]"),
        ({"windows": [{"text": 1}]}, r"windows\[0\]\.text"),
        ({"windows": [{"txt": "one"}]}, "txt"),
        ({"windows": [{"text": "a", "words": [{"text": "a", "start": 0, "stop": 1}]}]}, "exclude"),
        ({"windows": [{"words": [{"text": "a", "start": 2, "stop": 1}]}]}, "stops before"),
        ({"windows": [{"words": [{"text": "a b", "start": 0, "stop": 1}]}]}, "one word"),
        ({"windows": [{"words": [{"text": "a"}]}]}, "start"),
        ({"windows": [{"probability": 2}]}, "probability"),
        ({"windows": [{"delay_s": -1}]}, "delay_s"),
        ({"windows": [{"delay_s": True}]}, "delay_s"),
        ({"windows": [{"fail": "error"}]}, "fail"),
        ({"windows": [{"fail": {"how": "sulk"}}]}, "sulk"),
        ({"windows": [{"fail": {"how": "error", "attempts": 1.5}}]}, "1.5"),
        ({"windows": [{"text": "a"}], "tones": {"440": "one"}}, "exclude"),
        ({"windows": [], "delay_s": 1}, "delay_s"),
        ({"load_s": "long"}, "load_s"),
        ({"load_fail": {"how": "garbage"}}, "load_fail"),
        ({"tones": {"low": "one"}}, "low"),
        ({"tones": {"-440": "one"}}, "-440"),
        ({"tones": {"nan": "one"}}, "nan"),
        ({"tones": {"440": ""}}, "440"),
        ({"tones": {"440": "one"}, "failures": {"x": {"how": "error"}}}, "x"),
        ({"tones": {"440": "one"}, "failures": {"-1": {"how": "error"}}}, "-1"),
    ],
)
def test_nonsense_is_refused_saying_where(tmp_path: Path, script: Any, where: str) -> None:
    with pytest.raises(UsageError, match=where) as refusal:
        open_scripted(spec_of(tmp_path, script))
    assert "\n" not in refusal.value.message


def test_a_script_that_is_no_json_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    with pytest.raises(UsageError, match="cannot read"):
        open_scripted(BackendSpec("scripted", "script", str(path)))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="not JSON"):
        open_scripted(BackendSpec("scripted", "script", str(path)))
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not JSON"):
        open_scripted(BackendSpec("scripted", "script", str(path)))
