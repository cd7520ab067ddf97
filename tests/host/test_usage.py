"""What cannot be carried out is refused before the start: exit 2, words on stderr, stdout empty."""

import os
from pathlib import Path

import pytest
from recorder import Start, sound, write_wav

from parakeet_coreml.__main__ import _listens

pytest_plugins = ("host_fixtures",)

REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown option": (("--no-such",), "--no-such"),
    "a word too many": (("more",), "more"),
    "an option without its value": (("--model", "tiny-en", "--device"), "--device"),
    "an unknown event": (("--events", "hello,nosuch"), "nosuch"),
    "an unknown backend": (("--model", "tiny-en", "--backend", "cuda"), "cuda"),
    "an unknown format": (("--format", "xml"), "xml"),
    "an overlap as long as the chunk": (
        ("--chunk-seconds", "8", "--overlap-seconds", "8"),
        "overlap",
    ),
    "a negative overlap": (("--overlap-seconds=-1",), "overlap"),
    "a chunk of NaN": (("--chunk-seconds", "nan"), "chunk"),
    "an endless chunk": (("--chunk-seconds", "inf"), "chunk"),
    "a chunk too short": (("--chunk-seconds", "1"), "chunk"),
    "a chunk that is no number": (("--chunk-seconds", "ten"), "chunk"),
    "an overlap of NaN": (("--overlap-seconds", "nan"), "overlap"),
    "no seconds": (("--max-seconds", "0"), "max-seconds"),
    "NaN seconds": (("--max-seconds", "nan"), "max-seconds"),
    "a key pressed at NaN": (("--t0", "nan"), "--t0"),
    "a key that is never pressed": (("--t0", "1e400"), "--t0"),
    "a rate of 7 Hz": (("--input", "-", "--input-rate", "7"), "rate"),
    "an unknown encoding": (("--input", "-", "--input-encoding", "mp3"), "mp3"),
    "a model that is neither name nor folder": (("--backend", "onnx", "--model", "v9"), "v9"),
    "a script that is not there": (("--backend", "scripted", "--model", "v9"), "v9"),
    "no such file": (("--input", "/no/such/file.wav"), "file.wav"),
    "a folder as a file": (("--input", "/tmp"), "folder"),  # noqa: S108  any folder
    "a device as a file": (("--input", "/dev/zero"), "regular"),
    "an empty name": (("--input", ""), ""),
    "raw PCM in real time": (("--input", "-", "--realtime"), "realtime"),
    "a long argument": (("--input", "x" * 100_000), ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(what: str, start: Start) -> None:
    arguments, named = REFUSED[what]
    recorder = start(*arguments, model="--model" not in arguments).finish(2)
    assert named in recorder.stderr
    assert len(recorder.stderr) < 2000


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"RIFF", b"stop\n"])
def test_what_is_no_sound_is_refused(content: bytes, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "picture.wav"
    path.write_bytes(content)
    assert "picture.wav" in start("--input", path).finish(2).stderr


def test_a_file_name_that_is_no_text_is_refused_in_words(start: Start, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")
    start("--input", name).finish(2)


def test_a_name_that_is_no_text_is_recorded(start: Start, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")
    os.rename(write_wav(tmp_path / "a.wav", sound("alfa")), name)  # noqa: PTH104  not text
    assert start("--input", name, "--events", "ready").finish(0).text == "alfa"


def test_a_model_folder_that_may_not_be_read_is_told(start: Start, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)  # permissions do not bind root
    recorder = start("--backend", "onnx", "--model", loop, "--input", "-", model=False)
    recorder.close_stdin()
    recorder.finish(31)
    assert recorder.codes() == ["storage"]


def test_a_model_folder_without_a_model_is_a_missing_model(start: Start, tmp_path: Path) -> None:
    recorder = start("--backend", "onnx", "--model", tmp_path, "--input", "-", model=False)
    recorder.finish(20)
    assert recorder.codes() == ["model_missing"]


MIC: dict[str, tuple[str | None, tuple[str, ...], bool]] = {
    "nothing said": (None, (), True),
    "the default by name": (None, ("--input", "mic"), True),
    "with a sign": (None, ("--input=mic",), True),
    "an option that begins alike": (None, ("--input-rate", "8000"), True),
    "a file": (None, ("--input", "a.wav"), False),
    "a file with a sign": (None, ("--input=a.wav",), False),
    "the last one counts": (None, ("--input", "a.wav", "--input=mic"), True),
    "the last one counts, either way": (None, ("--input=mic", "--input", "a.wav"), False),
    "its value is missing": (None, ("--input",), False),
    "the environment": ("a.wav", (), False),
    "the environment names the default": ("mic", (), True),
    "an empty environment is none": ("", (), True),
    "the command line wins": ("a.wav", ("--input", "mic"), True),
}
"""What is prepared for the microphone before click reads the command line: no lock of JACK's."""


@pytest.mark.parametrize("what", MIC)
def test_the_microphone_is_known_by_every_spelling(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, arguments, listens = MIC[what]
    monkeypatch.delenv("PARAKEET_COREML_INPUT", raising=False)
    if value is not None:
        monkeypatch.setenv("PARAKEET_COREML_INPUT", value)
    assert _listens(list(arguments)) is listens
