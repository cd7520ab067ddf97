"""The filter that writes spoken words as one would: numbers, commands, fillers."""

import importlib.util
import json
import subprocess
import sys

import pytest
from examples_stage import ROOT, Stage

pytest_plugins = ("examples_fixtures",)

FILTER = ROOT / "examples" / "python" / "written.py"


def filtered(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FILTER), *options],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


# fmt: off
SAID = [
    ("en", "three. New paragraph. Four", "3.\n\n4"),
    ("en", "We sell a new line of shoes, new line, twenty three of them.",
     "We sell a new line of shoes\n23 of them."),
    ("en", "The new line, brand new lines.", "The new line, brand new lines."),
    ("en", "hello new line", "hello\n"),
    ("en", "New line", "\n"),
    ("en", "Um, I think, uh, one hundred and five.", "I think 105."),
    ("en", "Yes. Um. so uh um no.", "Yes. So no."),
    ("en", "um uh erm", ""),
    ("en", "Umbrella hums.", "Umbrella hums."),
    ("en", "Version one point five.", "Version 1.5."),
    ("en", "", ""),
    ("de", "vierundzwanzig um drei", "24 um 3"),
    ("fr", "new line vingt-trois", "new line 23"),
]
# fmt: on


@pytest.mark.parametrize(("language", "said", "expected"), SAID)
def test_words_are_written(language: str, said: str, expected: str) -> None:
    spec = importlib.util.spec_from_file_location("written", FILTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.written(said, language) == expected


def test_a_number_that_two_lines_share_is_one() -> None:
    lines = [
        {"type": "chunk", "index": 0, "text": "It cost twenty", "confidence": 0.9, "elapsed_ms": 1},
        {"type": "chunk", "index": 1, "text": "three euros.", "confidence": 0.9, "elapsed_ms": 1},
        {"type": "done", "totalChunks": 2, "full_text": "It cost twenty three euros."},
    ]
    ran = filtered("".join(f"{json.dumps(line)}\n" for line in lines))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "It cost 23 euros.\n", "")


def test_behind_the_recorder(stage: Stage) -> None:
    recorder = stage.run("parakeet-coreml", "progressive-record", "--input", stage.speech)
    assert recorder.returncode == 0
    ran = filtered(recorder.stdout)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == list(stage.words)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"error","code":"device_lost"}\n{"type":"done","full_text":"one two three"}\n', 1),
        ("", 1),
        ("hello\n", 2),
        ("[]\n", 2),
        ('{"type":"done"}\n', 2),
    ],
)
def test_a_failure_or_other_input_has_a_code_and_no_traceback(text: str, code: int) -> None:
    ran = filtered(text)
    assert ran.returncode == code
    assert "Traceback" not in ran.stderr
    assert (code == 2) == bool(ran.stderr)
