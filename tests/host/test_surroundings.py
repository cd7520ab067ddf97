"""What the machine takes away or changes while a recording runs."""

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
from pulse import RATE, PulseServer
from recorder import PATIENCE, Start, s16, sound
from support import requires

pytest_plugins = ("host_fixtures",)

TINY = Path(__file__).parents[2] / "parakeet_coreml" / "tiny_en"
SAMPLE = TINY.parent / "samples" / "speech.wav"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Give a copy of the built-in model."""
    return shutil.copytree(TINY, tmp_path / "model")


@pytest.fixture
def short_speech(tmp_path: Path) -> Path:
    """Give six seconds of speech."""
    audio, rate = soundfile.read(SAMPLE, dtype="float32", frames=6 * 16_000)
    soundfile.write(tmp_path / "short.wav", audio, rate)
    return tmp_path / "short.wav"


@pytest.fixture
def two_mics() -> Iterator[PulseServer]:
    with PulseServer("desk") as server:
        yield server


def test_an_address_space_of_600_mb_gives_the_words_or_is_told(
    start: Start, short_speech: Path
) -> None:
    requires("a limit of the address space, as Linux has", present=sys.platform == "linux")
    recorder = start(
        *("--model", "tiny-en", "--backend", "onnx", "--input", short_speech),
        env={"OPENBLAS_NUM_THREADS": "1"},  # whose stacks grow with the cores
        wrap=f'ulimit -v {600 * 1024}; exec "$@"',
        model=False,
    )
    code = recorder.wait(120)
    recorder.checked = True
    assert recorder.lines[-1].fields["type"] == "done"
    if code:
        assert code in {1, 22, 23}
        assert recorder.codes()
    else:
        assert recorder.heard[:3] == ["push", "the", "commit"]


@pytest.mark.parametrize("how", ["removed", "cut", "replaced"])
def test_files_of_a_model_that_change_while_it_runs_cost_no_word(
    start: Start, model: Path, short_speech: Path, how: str
) -> None:
    recorder = start(
        *("--model", model, "--backend", "onnx", "--input", short_speech),
        *("--realtime", "--events", "ready"),
        model=False,
    )
    recorder.until("ready", what="model")
    for file in model.glob("*.onnx"):
        if how == "cut":
            file.write_bytes(b"")
            continue
        file.unlink()
        if how == "replaced":
            file.write_bytes(bytes(1_000))
    recorder.finish(0)
    assert recorder.heard[:3] == ["push", "the", "commit"]


def test_a_header_of_safetensors_that_claims_the_whole_memory_is_told(
    start: Start, model: Path, short_speech: Path
) -> None:
    requires("mlx", present=find_spec("mlx") is not None)
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[:8] = (1 << 62).to_bytes(8, "little")
    weights.write_bytes(data)
    recorder = start(
        "--model", model, "--backend", "mlx", "--input", short_speech, model=False
    ).finish(22, within=120)
    assert recorder.codes() == ["model_unusable"]


def test_no_place_for_anything_gives_the_words(start: Start, speech: Path) -> None:
    nowhere = dict.fromkeys(("TMPDIR", "HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), "/nonexistent/x")
    recorder = start("--input", speech, env=nowhere).finish(0)
    assert len(recorder.heard) == 10


def test_another_default_microphone_midway_ends_nothing(
    start: Start, two_mics: PulseServer
) -> None:
    recorder = start("--events", "ready,warning", env=two_mics.env)
    recorder.until("ready", what="capture")
    two_mics.mic.play(s16(sound("alfa", "bravo", rate=RATE))).wait()
    two_mics.make_default("desk")
    later = s16(sound("charlie", "delta", rate=RATE))
    # Whether a server moves a stream is its own affair.
    for played in [mic.play(later) for mic in two_mics.mics.values()]:
        played.wait(PATIENCE)
    recorder.say("stop")
    recorder.finish(0)
    assert recorder.heard[:2] == ["alfa", "bravo"]
    assert recorder.heard[-1] == "delta"
