"""The cascade of one recording, the table of many, and the lines they are made of."""

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import parakeet_coreml
from parakeet_coreml.bench import cascade
from parakeet_coreml.bench.kept import Recording, recordings
from parakeet_coreml.bench.table import table
from parakeet_coreml.errors import UsageError

PROGRAM = [sys.executable, "-P", "-m", "parakeet_coreml"]
SAMPLE = Path(parakeet_coreml.__file__).parent / "samples" / "speech.wav"

STAGES = {
    "key_ms": -40,
    "capture_ms": 80,
    "first_sample_ms": 120,
    "model_ms": 500,
    "first_chunk_ms": 9_060,
    "stop_ms": 9_000,
    "capture_end_ms": 9_010,
    "last_window_ms": 9_060,
    "done_ms": 9_061,
}
WINDOW = {
    "type": "window",
    "index": 0,
    "begun_ms": 9_012.0,
    "elapsed_ms": 46.0,
    "audio_ms": 9_000.0,
    "features_ms": 4.0,
    "encoder_ms": 30.0,
    "search_ms": 10.0,
    "ahead": False,
}
SUMS = {
    "windows": 1,
    "ahead": 0,
    "audio_ms": 9_000.0,
    "elapsed_ms": 46.0,
    "encoder_ms": 30.0,
    "tokens": 12,
    "joint_calls": 99,
    "retries": 0,
}


def timing(**stages: int) -> dict[str, Any]:
    named = {"backend": "onnx", "model": "tiny-en", "form": "float32", "compute_units": "cpu"}
    fields = {"runtime": "onnxruntime 1", "warm": True, "epoch_ms": 1_000.5, "windows": SUMS}
    return {"type": "timing", **named, **fields, "stages": stages or STAGES}


def recording(**stages: int) -> Recording:
    return Recording("a", timing(**stages), (WINDOW,), 9_062.5)


def test_the_path_goes_from_the_key_to_delivery_without_a_gap() -> None:
    steps = cascade.path(recording())
    assert [(step.name, step.begin) for step in steps] == [
        ("the program starts", -40),
        ("the microphone opens", 0),
        ("the first sound comes", 80),
        ("the person speaks", 120),
        ("the microphone closes", 9_000),
        ("the last window waits", 9_010),
        ("the last window: features", 9_012),
        ("the last window: encoder", 9_016),
        ("the last window: search", 9_046),
        ("the last window: the way there and back, words", 9_056),
        ("the last line is written", 9_060),
        ("the host has it", 9_061),
    ]
    assert [step.end for step in steps[:-1]] == [step.begin for step in steps[1:]]
    assert sum(step.ms for step in steps) == pytest.approx(9_062.5 + 40)


def test_a_stage_that_was_not_measured_is_no_part_of_it() -> None:
    steps = cascade.path(Recording("a", timing(first_sample_ms=10, done_ms=30)))
    assert [(step.name, step.ms) for step in steps] == [
        ("the first sound comes", 10),
        ("the last line is written", 20),
    ]


def test_a_model_that_is_late_is_a_step_and_one_that_is_early_is_not() -> None:
    late = cascade.path(recording(**{**STAGES, "model_ms": 9_011}))
    assert "the rest of the model's loading" in {step.name for step in late}
    early = {step.name for step in cascade.path(recording())}
    assert "the rest of the model's loading" not in early
    assert "the model loads" in {other.name for other in cascade.beside(recording())}


def test_a_window_decoded_ahead_of_need_takes_no_time_of_the_path() -> None:
    ahead = {**WINDOW, "ahead": True}
    del ahead["begun_ms"]
    found = Recording("a", timing(), (ahead,), None)
    names = {step.name for step in cascade.path(found)}
    assert "the last window" in names
    assert "the last window: encoder" not in names
    assert "window 0" not in {other.name for other in cascade.beside(found)}


def test_both_drawings_name_who_made_it_and_every_step() -> None:
    found = recording()
    text, picture = cascade.text(found), cascade.svg(found)
    ET.fromstring(picture)  # noqa: S314  our own
    for step in (*cascade.path(found), *cascade.beside(found)):
        assert step.name in text
        assert step.name in picture
    for drawn in (text, picture):
        assert "tiny-en (float32) on onnx, cpu, onnxruntime 1, warm" in drawn
        assert "together" in drawn
    assert max(map(len, text.splitlines())) <= 130


def test_what_is_spoken_is_drawn_short() -> None:
    steps = cascade.path(recording())
    axis = cascade._axis(steps, [])
    spoken = next(step for step in steps if step.name == "the person speaks")
    share = axis.at(spoken.end) - axis.at(spoken.begin)
    assert share == pytest.approx(cascade.SPOKEN)
    assert (axis.at(axis.begin), axis.at(axis.end)) == (0, 1)


def kept(*lines: dict[str, Any]) -> list[Recording]:
    return list(recordings(map(json.dumps, lines), "f"))


DONE = {"type": "done", "totalChunks": 0, "full_text": "", "received_ms": 1_020.5}


def test_recordings_end_with_done_and_those_without_timing_are_left_out() -> None:
    found = kept(WINDOW, timing(), DONE, DONE, timing(), {**DONE, "received_ms": None}, timing())
    assert [(one.name, len(one.windows), one.received) for one in found] == [
        ("f:1", 1, 20.0),
        ("f:3", 0, None),
    ]


def test_a_row_of_a_bench_is_a_recording() -> None:
    (found,) = kept({"name": "x.wav", "lines": [WINDOW, timing(), DONE]})
    assert (found.name, found.received) == ("x.wav", 20.0)


def test_what_is_no_figure_is_left_out_and_the_rest_is_drawn() -> None:
    odd: list[dict[str, Any]] = [
        {**WINDOW, "elapsed_ms": "x"},
        {"type": "window"},
        {**WINDOW, "encoder_ms": None},
    ]
    (found,) = kept(*odd, WINDOW, {**timing(), "windows": 3}, DONE)
    assert found.windows == (WINDOW,)
    assert "the last window: encoder" in cascade.text(found)
    assert kept({**timing(), "stages": {"done_ms": "late"}}, DONE) == []
    assert kept({**timing(), "stages": 3}, DONE) == []


@pytest.mark.parametrize(
    "line",
    ['{"lines":3}', '{"lines":[3]}', "x", "[]", "3", '{"a":1}', '{"type":"done"', "[" * 10_000],
)
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="f, line 2 is no line of a recording"):
        list(recordings(["", line], "f"))


def test_the_table_has_a_row_for_each_backend_and_measure() -> None:
    rows = [recording(**{**STAGES, "done_ms": 9_000 + ms}) for ms in (61, 71, 81)]
    other = Recording("b", {**timing(), "backend": "mlx"}, (), None)
    lines = table([*rows, other]).splitlines()
    (stops,) = [line.split() for line in lines if "stop to done" in line and "onnx" in line]
    assert stops[-5:] == ["3", "71.0", "80.0", "61.0", "81.0"]
    assert [line for line in lines if "mlx" in line and "stop to done" in line]
    assert not [line for line in lines if "mlx" in line and "the host has it" in line]


def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "waterfall", *arguments]
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "no recording with a timing line"),
        ('{"type":"done"}\n', "no recording with a timing line"),
        ("hello\n", "stdin, line 1 is no line of a recording"),
    ],
)
def test_input_without_a_recording_ends_in_one_clear_line(given: str, said: str) -> None:
    done = run("-", given=given)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(str(tmp_path / "none.jsonl"))
    assert done.returncode == 2
    assert "cannot read" in done.stderr


def test_the_path_of_a_real_recording_adds_up_to_the_wall_time() -> None:
    """The clock of the host from spawn to the last line, against the intervals."""
    key, began = time.time() * 1000, time.monotonic()
    command = [*PROGRAM, "progressive-record", "--model", "tiny-en", "--backend", "onnx"]
    command += ["--input", str(SAMPLE), "--events", "window,timing", "--t0", f"{key:.3f}"]
    lines, wall = [], 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for text in process.stdout:
            wall = (time.monotonic() - began) * 1000
            lines.append(json.dumps(json.loads(text) | {"received_ms": key + wall}))
    (found,) = recordings(lines, "f")
    steps = cascade.path(found)
    assert sum(step.ms for step in steps) == pytest.approx(wall, abs=2)
    assert all(step.ms >= 0 for step in steps)
    names = {step.name for step in steps}
    assert {"the program starts", "the last window: encoder", "the host has it"} <= names
    assert run("-", given="\n".join(lines)).stdout.startswith("stdin:1: tiny-en (float32) on onnx")
