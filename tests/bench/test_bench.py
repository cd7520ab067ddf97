"""`bench` from its data to its report, with the real recorder and a scripted backend."""

import json
import re
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parakeet_coreml.audio.samples import SAMPLE_RATE
from parakeet_coreml.bench import data, plan, report, results, run, stops
from parakeet_coreml.bench.data import Utterance
from parakeet_coreml.bench.machine import Load, describe
from parakeet_coreml.bench.scoring import Scorer
from parakeet_coreml.errors import UsageError

PROGRAM = [sys.executable, "-P", "-m", "parakeet_coreml", "bench"]


def bench(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def tone(seconds: float, *, quiet: float = 0.0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    loud = 0.3 * np.sin(2 * np.pi * 300 * time)
    noise = 3e-4 * np.random.default_rng(0).standard_normal(int(quiet * SAMPLE_RATE))
    return np.concatenate((noise, loud, noise)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings with their words."""
    made = tmp_path / "data"
    made.mkdir()
    for number in range(3):
        stops.write(made / f"{number}.wav", tone(1.0 + number / 2, quiet=0.5))
    rows = [f"{number}.wav\topen the door" for number in range(3)]
    (made / "words.tsv").write_text("\n".join(("path\ttext", *rows, "")))
    return made


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"windows": [{"text": "open the floor"}] * 9}))
    return path


# Data


def read(folder: Path, **options: Any) -> list[Utterance]:
    return data.read(folder, **{"limit": None, "seed": 1, "english": True, **options})


def test_a_folder_is_read_with_lengths(folder: Path) -> None:
    found = read(folder)
    assert [(one.name, one.text, one.seconds) for one in found] == [
        ("0.wav", "open the door", 2.0),
        ("1.wav", "open the door", 2.5),
        ("2.wav", "open the door", 3.0),
    ]
    assert len(found[0].audio()) == 2 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words.jsonl", '{"audio_filepath": "0.wav", "text": "hello", "duration": 2}\n\n'),
        ("x.tsv", "0.wav\thello\n"),
        ("manifest.tsv", "speaker\tpath\ttranscript\n a\t0.wav\thello\n"),
        ("words.tsv", "\ufeffpath\ttext\r\n0.wav\thello\r\n"),
        ("words.tsv", 'path\ttext\n0.wav\t"hello\n'),
    ],
)
def test_lists_come_in_several_shapes(folder: Path, name: str, text: str) -> None:
    (folder / "words.tsv").unlink()
    (folder / name).write_text(text, newline="")
    (found,) = read(folder)
    assert (found.name, found.text.strip('"')) == ("0.wav", "hello")


def test_a_limit_draws_by_the_seed(folder: Path) -> None:
    drawn = [one.name for one in read(folder, limit=2, seed=3)]
    assert drawn == [one.name for one in read(folder, limit=2, seed=3)]
    assert len(drawn) == 2
    assert len({tuple(u.name for u in read(folder, limit=2, seed=seed)) for seed in range(9)}) > 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path\ttext\n0.wav\t\n", "line 2: no words for '0.wav'"),
        ("path\ttext\n0.wav\t...\n", "line 2: no words for '0.wav'"),
        ("path\ttext\n0.wav\n", "line 2: no words for '0.wav'"),
        ("path\ttext\n\thello\n", "line 2: names no sound file"),
        ("path\ttext\n0.wav\ta\n0.wav\tb\n", "lists '0.wav' twice"),
        ("path\ttext\n", "lists no recording"),
        ("", "lists no recording"),
        ("path\ttext\nnone.wav\thello\n", "none.wav"),
        ("path\ttext\nempty.wav\thello\n", "empty.wav"),
        ("path\ttext\nwords.tsv\thello\n", "words.tsv"),
        ("path\ttext\n0.wav\t\u0434\u0430\n", "is no English letter"),
        ("path\ttext\n0.wav\tgrün fährt über\n", "are no English"),
    ],
)
def test_bad_data_ends_in_one_clear_line(
    folder: Path, tmp_path: Path, text: str, said: str
) -> None:
    with wave.open(str(folder / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    (folder / "words.tsv").write_text(text)
    with pytest.raises(UsageError) as refusal:
        read(folder)
    assert said in refusal.value.message
    assert "\n" not in refusal.value.message


def test_other_languages_are_taken_with_the_basic_normaliser(folder: Path) -> None:
    (folder / "words.tsv").write_text("path\ttext\n0.wav\t\u0434\u0430\n")
    assert read(folder, english=False)[0].text == "\u0434\u0430"


def test_a_few_accents_are_english(folder: Path) -> None:
    words = " ".join(["open the door and the window"] * 3)
    (folder / "words.tsv").write_text(f"path\ttext\n0.wav\ta café {words}\n")
    assert len(read(folder)) == 1


@pytest.mark.parametrize("name", [None, "both"])
def test_a_folder_without_a_list_or_with_several_is_refused(
    folder: Path, tmp_path: Path, name: str | None
) -> None:
    (folder / "words.tsv").rename(folder / "a.tsv")
    if name is None:
        (folder / "a.tsv").unlink()
    else:
        (folder / "b.tsv").write_text("0.wav\thello\n")
    with pytest.raises(UsageError, match=r"no TSV or JSONL|several lists: a\.tsv, b\.tsv"):
        read(folder)
    with pytest.raises(UsageError, match="is no folder"):
        read(tmp_path / "none")


def test_the_bundled_set_is_the_sample_sentence_by_sentence() -> None:
    found = data.read(data.BUNDLED, limit=None, seed=1, english=True)
    sample = Utterance("all", data.BUNDLED / "speech.wav", "", 0.0).audio()
    said = (data.BUNDLED / "speech.txt").read_text(encoding="utf-8")
    assert len(found) == 12
    assert " ".join(one.text for one in found) == said.strip()
    pieces = np.concatenate([one.audio() for one in found])
    np.testing.assert_array_equal(pieces, sample[: len(pieces)])
    assert not np.abs(sample[len(pieces) :]).max(initial=0) > 0.01
    for one in found:  # nobody speaks at the edges
        assert max(np.abs(one.audio()[:1600]).max(), np.abs(one.audio()[-1600:]).max()) < 0.01


@pytest.mark.parametrize(
    ("offset", "duration", "words"),
    [
        ("1", "", "no offset and duration"),
        ("-1", "1", "no offset and duration"),
        ("0", "nan", "no offset and duration"),
        ("0", "0", "no offset and duration"),
        ("1e9", "1", "reaches past its end"),
    ],
)
def test_a_stretch_that_is_none_is_refused(
    folder: Path, offset: str, duration: str, words: str
) -> None:
    rows = f"path\toffset\tduration\ttext\n0.wav\t{offset}\t{duration}\thello\n"
    (folder / "words.tsv").write_text(rows)
    with pytest.raises(UsageError, match=words):
        read(folder)


def test_stretches_of_one_file_are_recordings(folder: Path) -> None:
    rows = "path\toffset\tduration\ttext\n0.wav\t0\t0.25\thello\n0.wav\t0.25\t0.5\tyou\n"
    (folder / "words.tsv").write_text(rows)
    first, second = read(folder)
    assert (first.name, second.name) == ("0.wav at 0 s", "0.wav at 0.25 s")
    assert (len(first.audio()), len(second.audio())) == (4_000, 8_000)
    listed = '{"audio_filepath": "0.wav", "duration": 0.9, "text": "hello"}\n'
    (folder / "words.tsv").unlink()
    (folder / "manifest.jsonl").write_text(listed)
    (whole,) = read(folder)
    assert (whole.name, whole.offset) == ("0.wav", None)


# The plan


def utterances(count: int) -> list[Utterance]:
    return [Utterance(f"{n}", Path(f"{n}.wav"), "hello", 3.0 + n) for n in range(count)]


def test_variants_are_every_combination_and_units_are_core_mls() -> None:
    found = plan.variants(["onnx", "coreml"], ["v3", "/a/tiny"], ["all", "cpu_only"])
    assert [one.name for one in found] == [
        *("onnx v3", "onnx tiny", "coreml v3 all", "coreml v3 cpu_only"),
        *("coreml tiny all", "coreml tiny cpu_only"),
    ]


def test_backends_are_interleaved_after_the_warm_ups() -> None:
    chosen = plan.variants(["onnx", "mlx", "scripted"], ["m"], [])
    tasks = plan.tasks(chosen, utterances(6), live=4, warmups=2, seed=1)
    assert [task.warmup for task in tasks[:7]] == [0, 0, 0, 1, 1, 1, None]
    measured = tasks[6:]
    rounds = [measured[i : i + 3] for i in range(0, len(measured), 3)]
    assert len(rounds) == 10
    for same in rounds:
        assert {task.variant for task in same} == set(chosen)
        assert len({(task.utterance.name, task.stop) for task in same}) == 1
    orders = {tuple(task.variant.name for task in same) for same in rounds}
    assert len(orders) > 1, "no backend is always the first"
    assert sorted(filter(None, (same[0].stop for same in rounds))) == ["pause"] * 2 + ["word"] * 2
    assert len({task.key for task in tasks}) == len(tasks)


def test_the_same_seed_gives_the_same_plan() -> None:
    chosen = plan.variants(["onnx", "mlx"], ["m"], [])
    first, second, other = (
        [task.key for task in plan.tasks(chosen, utterances(9), live=2, warmups=1, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_stops_lie_in_a_pause_or_in_the_last_word() -> None:
    audio = tone(1.0, quiet=0.5)
    played, at = stops.prepared(audio, "pause")
    assert at == pytest.approx(2.5, abs=0.05)
    assert len(played) / SAMPLE_RATE == pytest.approx(at + 2, abs=0.01)
    _, at = stops.prepared(audio, "word")
    assert at == pytest.approx(1.0, abs=0.05)
    _, at = stops.prepared(np.zeros(SAMPLE_RATE, np.float32), "word")
    assert at == pytest.approx(1.0, abs=0.05)


# Results


ABOUT: dict[str, Any] = {"what": {"seed": 1, "names": ["a"]}, "command": "x"}


def test_an_interrupted_bench_goes_on_and_a_cut_line_is_cut_away(tmp_path: Path) -> None:
    found = results.begin(tmp_path / "out", ABOUT)
    found.add({"key": "a", "warmup": None})
    with (tmp_path / "out" / "runs.jsonl").open("a") as file:
        file.write('{"key": "b", "war')
    again = results.begin(tmp_path / "out", {**ABOUT, "command": "another time"})
    assert again.keys == {"a"}
    again.add({"key": "b", "warmup": 0})
    whole = results.load(tmp_path / "out")
    assert (whole.keys, [row["key"] for row in whole.measured]) == ({"a", "b"}, ["a"])


def test_another_benchs_folder_is_refused(tmp_path: Path) -> None:
    results.begin(tmp_path / "out", ABOUT)
    with pytest.raises(UsageError, match="holds a bench of other recordings or options"):
        results.begin(tmp_path / "out", {"what": {"seed": 2}})
    with pytest.raises(UsageError, match="is no folder of a bench"):
        results.load(tmp_path)


# All of it


def test_it_measures_reports_goes_on_and_compares(
    folder: Path, script: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--data", folder, "--backend", "scripted", "--model", script, "--live", "2")
    done = bench(*options, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "min left" in done.stderr
    found = results.load(out)
    assert len(found.rows) == 1 + 3 + 2
    assert {row["exit_code"] for row in found.rows} == {0}
    assert_figures(found)
    text = (out / "report.md").read_text()
    assert "| 3 | 9 | 33.33%" in text
    assert found.plan["command"] in text
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 4
    assert not re.search(r'(src|href)="(?!#)|url\((?!#)|@import|<script', page), "self-contained"
    assert "<?xml" not in page
    kept = (out / "runs.jsonl").read_text()
    (out / "runs.jsonl").write_text("".join(kept.splitlines(keepends=True)[:-2]) + '{"cut')
    again = bench(*options, "--out", out)
    assert "4 of 6, resumed" in again.stderr
    assert len(results.load(out).rows) == 6
    both = bench("compare", out, out)
    assert both.returncode == 0, both.stderr
    assert "+0.00% (+0.00% to +0.00%, 3 in common)" in both.stdout


def assert_figures(found: results.Results) -> None:
    for row in found.rows:
        figures = row["figures"]
        live = row["stop"] is not None
        assert figures["sound_ms"] > 0
        assert figures["model_ms"] > 0
        assert figures["cpu_s"] > 0
        assert figures["recorder_mb"] > 5
        waits = figures["stop_done_ms"], figures["stop_loading_ms"]
        assert sum(wait is not None for wait in waits) == live
        assert (figures["confirmed_ms"] is not None) == (live and bool(row["heard"]))
        assert row["others_cores"] >= 0
        assert figures["search_ms"] is None, "a scripted backend measures no search"
        assert [line["type"] for line in row["lines"]][-1] == "done"


def test_a_stop_that_waits_for_the_model_is_no_stop_of_a_loaded_one(
    folder: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps({"load_s": 9, "windows": [{"text": "open"}] * 9}))
    variant = plan.Variant("scripted", str(slow))
    (utterance, *_) = read(folder)
    row = run.run(plan.Task(variant, utterance, "word"), run.program())
    figures = row["figures"]
    assert figures["stop_done_ms"] is None
    assert figures["stop_loading_ms"] > 4_000


def test_an_interruption_loses_no_row_and_the_same_command_goes_on(
    folder: Path, script: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps({"windows": [{"text": "open", "delay_s": 0.5}] * 9}))
    out = tmp_path / "out"
    arguments = ["--data", str(folder), "--backend", "scripted", "--model", str(slow)]
    arguments += ["--out", str(out)]
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("2 of 4"))
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130
    assert "Interrupted; the same command goes on from here" in said
    assert len(results.load(out).rows) in {2, 3}
    assert bench(*arguments).returncode == 0
    assert len(results.load(out).rows) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "/none"], "is no folder"),
        (["--live", "-1"], "--live"),
        (["compare", "/none", "/none"], "is no folder of a bench"),
        (["--backend", "onnx", "--model", "/none"], "/none"),
    ],
)
def test_wrong_usage_ends_in_a_clear_line_and_writes_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    options = [] if arguments[0] == "compare" else ["--out", str(tmp_path / "out")]
    done = bench(*arguments, *options)
    assert done.returncode in {2, 20}
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_backend_whose_package_is_absent_is_refused_before_anything_runs(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['parakeet_mlx'] = None;"
        f"sys.argv = ['x', 'bench', '--backend', 'mlx', '--out', {str(tmp_path / 'out')!r}];"
        "from parakeet_coreml.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the backend mlx needs a package: parakeet_mlx" in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['jiwer'] = None; sys.argv = ['x', 'bench'];"
        "from parakeet_coreml.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "not installed: jiwer" in done.stderr
    assert "pip install 'parakeet-coreml[bench]'" in done.stderr


def test_a_failed_run_is_in_the_report_and_counts_for_no_figure(
    folder: Path, tmp_path: Path
) -> None:
    failing = tmp_path / "script.json"
    failing.write_text('{"windows": [{"fail": {"how": "abort", "attempts": 9}}]}')
    options = ("--data", folder, "--backend", "scripted", "--model", failing, "--limit", "1")
    done = bench(*options, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "report.md").read_text()
    assert "a window could not be transcribed" in text
    assert "1 of 1 runs failed" in done.stderr
    assert "WER" not in text.partition("## Latency")[0].replace("WER, first", "")


@pytest.mark.parametrize(
    ("quiet", "said"),
    [
        (0, "BUSY MACHINE: in 1 of 1 runs others used more than 0.2 cores (median 0.90)"),
        (18, "BUSY MACHINE: in 1 of 19 runs"),
        (19, "Load: in 1 of 20 runs others used more than 0.2 cores (median 0.00)\n"),
    ],
)
def test_a_busy_machine_is_said(tmp_path: Path, quiet: int, said: str) -> None:
    row: dict[str, Any] = {
        "key": "a",
        "name": "a",
        "variant": {"name": "v", "backend": "onnx"},
        "stop": None,
        "warmup": None,
        "seconds": 2.0,
        "exit_code": 0,
        "said": "a",
        "heard": "a",
        "lines": [],
        "error": None,
        "others_cores": 0.9,
        "busy": True,
        "figures": {"cpu_s": 1.0, "decoding_ms": 20.0, "model_ms": 5.0, "wall_ms": 9.0},
    }
    about = {
        "what": {"seed": 1},
        "command": "c",
        "data": "d",
        "models": {},
        "machine": {**describe(), "date": "2026-11-27"},
    }
    found = results.begin(tmp_path / "out", about)
    found.add(row)
    for number in range(quiet):
        found.add({**row, "key": str(number), "others_cores": 0.0, "busy": False})
    report.write(found, tmp_path / "out", Scorer("english"))
    assert said in (tmp_path / "out" / "report.md").read_text()
    svg = "".join(path.read_text() for path in (tmp_path / "out").glob("*.svg"))
    assert (", busy" in svg) == said.startswith("BUSY")


def test_load_counts_what_others_use_and_not_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now, busy = [100.0], [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("parakeet_coreml.bench.machine._busy", lambda: busy[0])
    load = Load()
    now[0], busy[0] = 110.0, 57.0
    assert load.others(own=2.0) == pytest.approx(0.5)
    assert load.others(own=9.0) == 0
