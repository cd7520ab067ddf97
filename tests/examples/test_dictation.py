"""`parakeet_coreml.dictate`: the recorder as a child of a program in Python."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from examples_stage import ROOT, Stage

import parakeet_coreml
from parakeet_coreml import DictationError, dictate

pytest_plugins = ("examples_fixtures",)


@pytest.fixture
def heard(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Give a stage whose environment is ours: the recorder hears tones."""
    for name, value in stage.env.items():
        monkeypatch.setenv(name, value)
    return stage


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_a_file_comes_as_events_that_end_with_done(heard: Stage) -> None:
    dictation = dictate(input=str(heard.speech), meta=True, events=["hello", "ready", "level"])
    kinds, texts = [], []
    for event in dictation:
        kinds.append(event["type"])
        if event["type"] == "chunk":
            texts.append(event["text"])
    assert kinds[0] == "hello"
    assert kinds[-1] == "done"
    assert "level" in kinds
    assert " ".join(filter(None, texts)) == dictation.text == " ".join(heard.words)
    assert list(dictation) == []


def test_a_stop_leaves_nothing_out_that_was_said_before(heard: Stage) -> None:
    ends = 0
    with dictate(input=str(heard.speech), realtime=True, events=["speech"], meta=True) as dictation:
        for event in dictation:
            if event["type"] == "speech" and event["state"] == "end":
                ends += 1
                if ends == 2:
                    dictation.stop()
            if event["type"] == "done":
                assert event["stop_reason"] == "stop"
    assert dictation.text.split() == list(heard.words[: len(dictation.text.split())])
    assert dictation.text.startswith("alfa bravo")


def test_a_cancel_ends_it_now_and_says_so(heard: Stage) -> None:
    dictation = dictate(input=str(heard.speech), realtime=True, events=["ready"])
    next(dictation)
    dictation.cancel()
    assert gone(dictation.pid)
    with pytest.raises(DictationError) as told:
        list(dictation)
    assert (told.value.code, told.value.exit_code) == ("aborted", 130)


def test_leaving_the_block_frees_the_microphone(heard: Stage) -> None:
    with dictate(input=str(heard.speech), realtime=True, events=["ready"]) as dictation:
        next(dictation)
    assert gone(dictation.pid)


def test_audio_of_ones_own_is_transcribed(heard: Stage) -> None:
    with dictate(input="-", input_rate=16_000) as dictation:
        assert dictation.audio is not None
        dictation.audio.write(heard.speech.read_bytes()[44:])
        dictation.stop()
        *_, done = dictation
    assert done["type"] == "done"
    assert done["full_text"] == " ".join(heard.words)


def test_audio_of_ones_own_can_be_cancelled(heard: Stage) -> None:
    with dictate(input="-", events=["hello"]) as dictation:
        next(dictation)
    assert gone(dictation.pid)


def program(folder: Path, code: str) -> str:
    """Make a program in Python that stands for the recorder."""
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return str(path)


def test_a_last_line_of_any_length_is_read(tmp_path: Path) -> None:
    says = """print('{"type":"done","totalChunks":1,"full_text":"' + "word " * 60_000 + '"}')"""
    (done,) = dictate(command=[program(tmp_path, says)])
    assert done["type"] == "done"
    assert len(done["full_text"]) == 300_000


def test_a_list_is_an_option_given_several_times(tmp_path: Path) -> None:
    says = """import json, sys
print(json.dumps({"type": "done", "totalChunks": 0, "full_text": "|".join(sys.argv[2:])}))"""
    command = [program(tmp_path, says)]
    dictation = dictate(command=command, phrase=["etcd", "a b"], device=(), meta=True, words=False)
    list(dictation)
    assert dictation.text == "--phrase=etcd|--phrase=a b|--meta"


def test_a_pause_is_told_and_its_end(tmp_path: Path) -> None:
    says = """import json, sys
told = "".join(sys.stdin.readline() for _ in range(3))
print(json.dumps({"type": "done", "totalChunks": 0, "full_text": told}))"""
    with dictate(command=[program(tmp_path, says)]) as dictation:
        dictation.pause()
        dictation.resume()
        dictation.stop()
        list(dictation)
    assert dictation.text.split() == ["pause", "resume", "stop"]


def test_a_failure_is_raised_after_the_lines_with_its_hint(heard: Stage) -> None:
    dictation = dictate(
        input=str(heard.speech), backend="onnx", model="v3", models_dir="/nonexistent"
    )
    with pytest.raises(DictationError) as told:
        list(dictation)
    assert (told.value.code, told.value.exit_code) == ("model_missing", 20)
    assert "models download v3" in told.value.hint


def test_options_are_arguments_and_a_list_is_one_each(tmp_path: Path) -> None:
    says = "import json, sys; print(json.dumps({'type': 'done', 'full_text': sys.argv[2:]}))"
    command = [program(tmp_path, says)]
    (done,) = dictate(command=command, device=["Desk", 2], meta=True, words=False, chunk_seconds=5)
    assert done["type"] == "done"
    assert done["full_text"] == ["--device=Desk", "--device=2", "--meta", "--chunk-seconds=5"]  # type: ignore[comparison-overlap] # the stand-in's


def test_a_wrong_option_says_which(heard: Stage) -> None:
    said: list[str] = []
    with pytest.raises(DictationError, match="chunk-seconds") as told:
        list(dictate(input=str(heard.speech), chunk_seconds=1, on_stderr=said.append))
    assert told.value.code == "usage"
    assert "chunk-seconds" in told.value.stderr
    assert "chunk-seconds" in "".join(said)


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashed"),
        ("", "protocol"),
        ("print('hello')", "protocol"),
    ],
)
def test_a_program_that_is_none_of_ours_is_told(tmp_path: Path, does: str, code: str) -> None:
    with pytest.raises(DictationError) as told:
        list(dictate(command=[program(tmp_path, does)]))
    assert told.value.code == code


STUBBORN = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print('{"type":"hello"}', flush=True)
time.sleep(600)
"""


def test_a_program_that_heeds_no_stop_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"INTERRUPT": 0.1, "TERMINATE": 0.2, "KILL": 0.1}.items():
        monkeypatch.setattr(f"parakeet_coreml.dictation.{name}", seconds)
    dictation = dictate(command=[program(tmp_path, STUBBORN)])
    next(dictation)
    dictation.stop(patience=0.0)
    with pytest.raises(DictationError) as told:
        list(dictation)
    assert (told.value.code, told.value.exit_code) == ("stop_timeout", -9)


def test_no_program_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dictate(command=[str(tmp_path / "absent")])


LAZY = """
import sys
sys.path.insert(0, sys.argv[1])
import parakeet_coreml
assert "subprocess" not in sys.modules
parakeet_coreml.dictate
assert "subprocess" in sys.modules
assert not {"numpy", "click", "sounddevice"} & set(sys.modules)
"""


def test_it_is_loaded_when_it_is_asked_for() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-c", LAZY, ROOT], check=True)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = parakeet_coreml.nonsense  # type: ignore[attr-defined] # absent, as it should be


TYPED = """
from parakeet_coreml import dictate

for event in dictate(model="tiny-en", events=["partial"]):
    if event["type"] == "chunk":
        words: str = event["text"]
        wrong: int = event["text"]
"""


def test_events_are_typed(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "host.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("error:") == 1, done.stdout
    assert "host.py:7" in done.stdout
