"""Numbers that pages and help texts state, held against the constants they come from.

Each row: the page, a pattern that finds the place with one group for each number, and the numbers.
`#` in a pattern is a number; a run of blanks is any run of blanks, line ends too.
"""

import inspect
import re
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from parakeet_coreml import dictation, errors
from parakeet_coreml.audio import microphone, pace, samples
from parakeet_coreml.backends.worker.client import LIMITS
from parakeet_coreml.cli import main as commands
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.host import watch
from parakeet_coreml.recognition import (
    crossing,
    cutting,
    energy,
    geometry,
    meter,
    speculation,
    tape,
)
from parakeet_coreml.recording import options, session, summary, terms

ROOT = Path(__file__).parent.parent.parent

RATE = samples.SAMPLE_RATE
DEFAULTS = options.Options()
STALL = inspect.signature(microphone.Microphone).parameters["stall_timeout"].default

ON_A_MAC = sys.platform == "darwin"

HOP = DEFAULTS.chunk_seconds - DEFAULTS.overlap_seconds


def ms(count: int) -> float:
    return count * 1000 / RATE


def client_s(name: str) -> float:
    """Return a default of the Node client, which has its milliseconds, in seconds."""
    text = (ROOT / "examples" / "node-client" / "index.js").read_text()
    (found,) = re.findall(rf"^ +{name} = ([\d_]+),", text, re.MULTILINE)
    return int(found) / 1000


DESIGN = (
    (
        r"every # ms; # where levels are shown, # until there is sound",
        (microphone.POLL * 1000, microphone.LIVE_POLL * 1000, microphone.FIRST_POLL * 1000),
    ),
    (r"once at a pause of # ms", (ms(energy.END_TICKS * energy.TICK),)),
    (r"at most (twice) for one window", (LIMITS.restarts,)),
    (r"sample rate inside \| # Hz mono", (RATE,)),
    (r"mel frame \| # samples, # ms", (samples.HOP, ms(samples.HOP))),
    (r"encoder frame \| # samples, # ms", (samples.FRAME, ms(samples.FRAME))),
    (r"window \| # samples, # s: at", (samples.MODEL_WINDOW, samples.MODEL_WINDOW / RATE)),
    (r"overlap, hop \| # s, # s", (DEFAULTS.overlap_seconds, HOP)),
    (r"level tick \| # samples, # ms", (energy.TICK, ms(energy.TICK))),
    (
        r"10th percentile of # s of levels, zeros left out, # to #",
        (tape.MEMORY / RATE, energy.FLOOR_MIN, energy.FLOOR_MAX),
    ),
    (
        r"above the floor for # ms, until # ms below",
        (ms(energy.START_TICKS * energy.TICK), ms(energy.END_TICKS * energy.TICK)),
    ),
    (r"3 dB lower, \+ # ms, \+ # ms if", (ms(energy.TAIL), ms(energy.SOFT_TAIL))),
    (r"audio remembered \| # s", (tape.MEMORY / RATE,)),
    (r"backlog \| # min", (cutting.BACKLOG / RATE / 60,)),
    (r"then exit code # \|", (errors.OverloadError.exit_code,)),
    (r"same letters within # s", (crossing.REACH / RATE,)),
    (r"replayed, at most (twice)", (LIMITS.restarts,)),
    (r"a warning every # s; nothing is killed for # s", (LIMITS.load_tell, LIMITS.load)),
    (r"a warning at # s, `mic_silent` at the end", (summary.SILENT_AFTER / RATE,)),
    (r"process end at once, exit code #", (errors.OutputLostError.exit_code,)),
    (r"transcription falls # min behind", (cutting.BACKLOG / RATE / 60,)),
    (r"`internal`, `done`, exit code #", (ParakeetError.exit_code,)),
    (r"encoder frame, # ms; PortAudio", (ms(samples.FRAME),)),
)

HOSTS = (
    (
        rf"open the microphone \| {'5 s, # s' if ON_A_MAC else '# s, 30 s'} on a Mac \(#\)",
        (microphone.OPEN_LIMIT, errors.NoDeviceError.exit_code),
    ),
    (r"no sound arrives any more \| # s \(#\)", (STALL, errors.DeviceLostError.exit_code)),
    (r"load the model \| # s \(#\), a warning every # s", (LIMITS.load, 22, LIMITS.load_tell)),
    (
        r"one window \| # s the first, then # s or # (?:\u00d7) the slowest; (two) restarts \(#\)",
        (
            LIMITS.first_window,
            LIMITS.window_floor,
            LIMITS.window_factor,
            LIMITS.restarts,
            errors.BackendFailedError.exit_code,
        ),
    ),
    (r"nothing moves any more \| \(#\)", (errors.DeadlineError.exit_code,)),
    (r"`stopTimeoutMs` # s without a line", (dictation.PATIENCE,)),
    (r"`stopTimeoutMs` # s without a line", (client_s("stopTimeoutMs"),)),
    (r"`startTimeoutMs` # s until sound arrives", (client_s("startTimeoutMs"),)),
    (
        r"SIGINT after # s, which asks for the same → SIGTERM after # s",
        (dictation.INTERRUPT, dictation.TERMINATE),
    ),
    (r"SIGKILL after # s", (dictation.TERMINATE + dictation.KILL,)),
    (r"second SIGINT or SIGTERM # s and more after", (watch.TWICE,)),
    (r"at most # of at most # characters", (terms.MAX_TERMS, terms.MAX_LENGTH)),
    (r"`--boost 0` to `#` is for all terms; # is a start", (options.MAX_BOOST, DEFAULTS.boost)),
    (
        r"zeros in the first # s, or for # s after there was sound",
        (summary.SILENT_AFTER / RATE, meter.MUTED / RATE),
    ),
    (r"the device's clock is # % off", (pace.Pace.TOLERATED * 100,)),
    (r"still loading, every # s", (LIMITS.load_tell,)),
    (r"warns when the first # s are", (summary.SILENT_AFTER / RATE,)),
    (r"exits with # instead of", (errors.SilentMicrophoneError.exit_code,)),
    (r"did not read it for # s at the end", (session.DRAIN_PATIENCE,)),
)

README = ((r"transcription # min behind", (cutting.BACKLOG / RATE / 60,)),)

AHEAD = (
    (r"up to a pause that is # ms old", (ms(energy.END_TICKS * energy.TICK),)),
    (r"at most a (quarter) of it; above # s a window", (speculation.SHARE, speculation.SLOW)),
)

HELP = (
    (
        r"Audio behind one line, # to #\. \[default: #\]",
        (geometry.MIN_CHUNK, geometry.MAX_CHUNK, DEFAULTS.chunk_seconds),
    ),
    (r"Audio two windows share\. \[default: #\]", (DEFAULTS.overlap_seconds,)),
    (r"Stop after this much audio\. \[default: #; none for files\]", (options.LIVE_SECONDS,)),
    (r"ends a line with `pause`\. \[default: #\]", (DEFAULTS.pause_ms,)),
    (
        r"so long after a stop, 0 to #\. \[default: #\]",
        (options.MAX_TAIL_MS, DEFAULTS.tail_ms),
    ),
    (r"preferred, 0 to #\. \[default: #\]", (options.MAX_BOOST, DEFAULTS.boost)),
    (
        r"raw PCM\. \[default: #; #<=x<=#\]",
        (DEFAULTS.input_rate, samples.MIN_RATE, samples.MAX_RATE),
    ),
)

ROWS = [
    (page, pattern, numbers)
    for page, rows in (
        ("docs/DESIGN.md", DESIGN),
        ("docs/HOSTS.md", HOSTS),
        ("README.md", README),
        ("docs/adr/0009-decoding-ahead-of-need.md", AHEAD),
        ("--help", HELP),
    )
    for pattern, numbers in rows
]

WORDS = {"twice": 2.0, "two": 2.0, "quarter": 0.25}


@cache
def text_of(page: str) -> str:
    text = help_text() if page == "--help" else (ROOT / page).read_text()
    return " ".join(text.split())


@cache
def help_text() -> str:
    command = commands.progressive_record
    return command.get_help(click.Context(command, **command.context_settings))


def number(text: str) -> float:
    return WORDS.get(text) or float(text.replace(",", ""))


@pytest.mark.parametrize(("page", "pattern", "numbers"), ROWS)
def test_a_number_on_a_page_is_that_of_the_code(
    page: str, pattern: str, numbers: tuple[float, ...]
) -> None:
    found = re.findall(pattern.replace("#", r"(\d[\d,]*(?:\.\d+)?)"), text_of(page))
    assert len(found) == 1, f"{page} has {len(found)} places like {pattern}"
    stated = found[0] if isinstance(found[0], tuple) else (found[0],)
    assert [number(s) for s in stated] == pytest.approx(list(numbers))


def exit_codes() -> dict[int, str]:
    own = {kind.exit_code: kind.name for kind in ParakeetError.__subclasses__()}
    return {ParakeetError.exit_code: ParakeetError.name, **own}


def test_the_exit_codes_of_the_hosts_page_are_those_of_the_errors() -> None:
    text = (ROOT / "docs" / "HOSTS.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)
    assert {int(code): name for code, name in rows} == exit_codes()


OTHERS = {0, 130, 143}
"""Exit codes of no error: ended well, given up by SIGINT or SIGTERM."""


def test_the_readme_and_the_help_list_every_exit_code_once() -> None:
    text = (ROOT / "README.md").read_text()
    table = text[text.index("| exit code |") : text.index("## Why this")]
    cells = [cell.strip() for line in table.splitlines()[2:] for cell in line.split("|")]
    assert codes_in(cells) == sorted({*exit_codes(), *OTHERS})
    listed = help_text()[help_text().index("Exit codes:") :]
    assert codes_in(re.split(r"\s{2,}", listed)) == sorted({*exit_codes(), *OTHERS})


def codes_in(cells: list[str]) -> list[int]:
    """Return the codes of cells that hold nothing but codes."""
    pure = [cell for cell in cells if re.fullmatch(r"\d+(, \d+)*", cell)]
    return sorted(int(code) for cell in pure for code in cell.split(", "))
