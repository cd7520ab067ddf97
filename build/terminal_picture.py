"""Draw what a recording looks like in a terminal, from a real one, as a moving SVG.

    python build/terminal_picture.py docs/pictures/terminal.svg      (needs `pip install pyte`)

The program runs on a terminal of its own and plays the bundled sample at the speed it was spoken.
Whatever it wrote, and when, is all that is drawn.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pyte

SAMPLE = Path(__file__).parents[1] / "parakeet_coreml" / "samples" / "speech.wav"
SHOWN = ("parakeet-coreml", "progressive-record", "--model", "tiny-en", "--format", "text")
PLAYED = ("--backend", "onnx", "--input", str(SAMPLE), "--realtime")
"""Makes the sample the microphone; the rest is what a person types."""

COLUMNS, ROWS = 72, 9
CELL, LINE, MARGIN = 8.4, 22, 18
"""Pixels: width of a character, height of a line, space around."""

REST = 3.0
"""Seconds for which the end is shown."""

FAINT = {b"\x1b[2m": b"\x1b[3m", b"\x1b[22m": b"\x1b[23m"}
"""The emulator knows no faint text; it is passed as slanted."""

Run = tuple[str, bool]
"""Text, and whether it is faint."""


def main() -> None:
    """Record, and write the picture to the path that was named."""
    frames = list(played())
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(drawn(frames), encoding="utf-8")
    print(f"{target}: {len(frames)} states in {frames[-1][0]:.1f} s")


def played() -> Iterator[tuple[float, list[list[Run]]]]:
    """Yield every state of the screen with its second."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {' '.join(SHOWN)}\r\n".encode())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {name: text for name, text in os.environ.items() if not name.startswith("PARAKEET_")}
    program = [sys.executable, "-P", "-m", "parakeet_coreml", *SHOWN[1:], *PLAYED]
    began = time.monotonic()
    yield 0.0, rows(screen)
    with subprocess.Popen(
        program, stdin=theirs, stdout=theirs, stderr=theirs, env={**env, "TERM": "xterm-256color"}
    ) as process:
        os.close(theirs)
        while data := read(ours):
            for seen, passed in FAINT.items():
                data = data.replace(seen, passed)
            stream.feed(data)
            yield time.monotonic() - began, rows(screen)
    if process.returncode:
        raise SystemExit(f"the recording ended with {process.returncode}")


def read(terminal: int) -> bytes:
    """Return what was written, a twentieth of a second of it at once; nothing at the end."""
    data = b""
    try:
        data = os.read(terminal, 65_536)
        limit = time.monotonic() + 0.05
        while (left := limit - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                data += os.read(terminal, 65_536)
    except OSError:  # the program has ended
        return data
    return data


def rows(screen: pyte.Screen) -> list[list[Run]]:
    """Return the lines of the screen as runs of one look."""
    found = []
    for number in range(ROWS):
        runs: list[Run] = []
        for column in range(COLUMNS):
            cell = screen.buffer[number][column]
            if runs and runs[-1][1] == cell.italics:
                runs[-1] = (runs[-1][0] + cell.data, cell.italics)
            else:
                runs.append((cell.data, cell.italics))
        found.append(runs)
    return found


def drawn(frames: list[tuple[float, list[list[Run]]]]) -> str:
    """Return the picture: every line of the screen for as long as it looked so."""
    end = frames[-1][0] + REST
    width, height = 2 * MARGIN + COLUMNS * CELL, 2 * MARGIN + ROWS * LINE
    clock = f'<animate id="r" attributeName="x" from="0" to="0" begin="0s;r.end" dur="{end:.2f}s"/>'
    size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
    font = 'font-family="ui-monospace, Menlo, monospace" font-size="14" fill="#e6e8eb"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        "<title>Words appear while they are spoken</title>",
        "<style>text { white-space: pre; visibility: hidden } .f { fill: #8b949e }</style>",
        f'<rect width="100%" height="100%" rx="10" fill="#16181d">{clock}</rect>',
    ]
    for number in range(ROWS):
        for since, until, runs in stays([(at, lines[number]) for at, lines in frames], end):
            parts.append(line(number, since, until, runs, last=until == end))
    return "\n".join([*parts, "</svg>\n"])


def stays(
    states: list[tuple[float, list[Run]]], end: float
) -> Iterator[tuple[float, float, list[Run]]]:
    """Yield each look of a line that is not empty, from when and until when it stayed."""
    since, look = states[0]
    for at, runs in [*states[1:], (end, [])]:
        if runs != look:
            if "".join(text for text, _ in look).strip():
                yield since, at, look
            since, look = at, runs


def line(number: int, since: float, until: float, runs: list[Run], *, last: bool) -> str:
    """Return one line that is seen for a while; the last look is there where nothing moves."""
    y = MARGIN + (number + 0.75) * LINE
    spans, column = [], 0
    for text, faint in runs:
        if text.strip():
            x = MARGIN + column * CELL
            look = ' class="f"' if faint else ""
            size = f'textLength="{len(text.rstrip()) * CELL:.1f}"'
            spans.append(f'<tspan x="{x:.1f}" {size}{look}>{escape(text.rstrip())}</tspan>')
        column += len(text)
    still = ' style="visibility: visible"' if last else ""
    seen = shown("visible", since, until)
    hidden = shown("hidden", 0.0, since) if last and since else ""
    return f'<text y="{y:.1f}"{still}>{"".join(spans)}{hidden}{seen}</text>'


def shown(how: str, since: float, until: float) -> str:
    """Return what makes a line visible or hidden from one second to another."""
    span = f'begin="r.begin+{since:.2f}s" end="r.begin+{until:.2f}s"'
    return f'<set attributeName="visibility" to="{how}" {span}/>'


if __name__ == "__main__":
    main()
