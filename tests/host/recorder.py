"""The real command as a host runs it: spawned, listened to line by line, held to its contract.

    recorder = start("--input", wav)         a process, by default with a backend that hears tones
    recorder.until("chunk")                  the first such line, waited for
    recorder.say("stop")                     a line on its stdin
    recorder.finish(code=0)                  waits for the end, and checks what holds for every one

PARAKEET_BIN names the program; without it, it is the package under test. A word is a sine burst, so
what must be heard is known exactly.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray
from pulse import RATE as MIC_RATE
from pulse import Pcm, PulseServer

PATIENCE = 30.0
"""Seconds in which anything has to happen, however busy the machine."""

LONG = os.environ.get("PARAKEET_LONG") == "1"
"""Whether tests that take minutes are wanted."""

PROGRAM = shlex.split(os.environ.get("PARAKEET_BIN", "")) or [
    # -P: as installed, the folder the user stands in is not searched for modules.
    *(sys.executable, "-P", "-m", "parakeet_coreml")
]

WORDS = (
    *("alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"),
    *("kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango"),
)

TONES = {word: round(300 * 1.13**i) for i, word in enumerate(WORDS)}
"""Hertz by word; further apart than the backend's tolerance."""

BURST, PAUSE = 0.2, 0.4
"""Seconds a word lasts, and the quiet after it."""

QUIET = 1e-4
"""RMS of the room between the words."""

Audio = NDArray[np.float64]
Fields = dict[str, Any]


def sound(*words: str, rest: float = 0.0, rate: int = 16_000) -> Audio:
    """Return words as sine bursts with a quiet room around them and `rest` seconds after it."""
    time_in = np.arange(round(BURST * rate)) / rate
    edges = np.minimum(1, np.minimum(time_in, BURST - time_in) / 0.01)
    pieces = [np.zeros(round(PAUSE * rate))]
    for word in words:
        pieces.append(0.3 * edges * np.sin(2 * np.pi * TONES[word] * time_in))
        pieces.append(np.zeros(round(PAUSE * rate)))
    pieces.append(np.zeros(round(rest * rate)))
    audio = np.concatenate(pieces)
    return audio + np.random.default_rng(0).normal(0, QUIET, len(audio))


def s16(audio: Audio) -> Pcm:
    """Return 16-bit samples."""
    return np.round(audio * 32_767).astype(np.int16)


def write_wav(path: Path, audio: Audio, rate: int = 16_000) -> Path:
    """Write a WAV file and return its path."""
    soundfile.write(path, s16(audio), rate, subtype="PCM_16")
    return path


def processes_naming(text: str) -> list[int]:
    """Return the processes with `text` in their arguments: a worker's name its model."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        # None where it is a zombie or another user's.
        if process.pid != os.getpid() and text in "\0".join(process.info["cmdline"] or ())
    ]


def eventually(what: Callable[[], bool], within: float = PATIENCE) -> bool:
    """Return whether something outside our reach becomes true in time."""
    limit = time.monotonic() + within
    while not what():
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it came."""

    raw: bytes
    at: float
    """When, on the monotonic clock."""

    @property
    def fields(self) -> Fields:
        loaded = json.loads(self.raw)
        assert isinstance(loaded, dict)
        return loaded


class Recorder:
    """One process, its lines so far, and its end."""

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        cwd: Path | None = None,
        reading: bool = True,
        text: bool = False,
    ) -> None:
        self.lines: list[Line] = []
        self.stderr = ""
        self.began = time.monotonic()
        self.ended = 0.0
        self.checked = False
        self._text = text
        self._bytes = bytearray()
        self._changed = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            command,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            start_new_session=True,
            bufsize=0,
        )
        self._readers: list[threading.Thread] = []
        if reading:
            self.read()
        if self.process.stderr is not None:
            self._begin(self._read_stderr)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def raw(self) -> bytes:
        """Everything that came on stdout."""
        return bytes(self._bytes)

    def read(self) -> None:
        """Start to read stdout."""
        if self.process.stdout is not None:
            self._begin(self._read_stdout)

    def _begin(self, read: Callable[[], None]) -> None:
        self._readers.append(threading.Thread(target=read, daemon=True))
        self._readers[-1].start()

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        try:
            while data := os.read(self.process.stdout.fileno(), 1 << 16):
                now = time.monotonic()
                self._bytes += data
                *lines, rest = (rest + data).split(b"\n")
                with self._changed:
                    self.lines += [Line(line + b"\n", now) for line in lines]
                    self._changed.notify_all()
        except OSError:
            pass  # the test closed it: a reader that goes away
        with self._changed:
            self.lines += [Line(rest, time.monotonic())] if rest else []
            self._closed = True
            self._changed.notify_all()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError):  # closed under us, once nobody looks
            while data := os.read(self.process.stderr.fileno(), 1 << 16):
                self.stderr += data.decode(errors="replace")

    # While it runs

    def until(
        self, kind: str, *, count: int = 1, patience: float = PATIENCE, **fields: Any
    ) -> Line:
        """Wait for the `count`-th line of this type with these fields."""

        def found() -> list[Line]:
            return [line for line in self.lines if _matches(line.fields, kind, fields)]

        limit = time.monotonic() + patience
        with self._changed:
            while len(found()) < count:
                left = limit - time.monotonic()
                assert left > 0, f"no {kind} {fields} in {self.story()}"
                assert not self._closed, f"it ended without {kind} {fields}: {self.story()}"
                self._changed.wait(left)
            return found()[count - 1]

    def write(self, data: bytes) -> None:
        """Write on its stdin."""
        assert self.process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.process.stdin.fileno(), rest) :]

    def say(self, command: str) -> None:
        """Write a line on its stdin."""
        self.write(command.encode() + b"\n")

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close_stdout(self) -> None:
        """Go away as a reader; only one that does not read can."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def is_gone_after(self, number: signal.Signals) -> bool:
        """Send a signal, and tell whether the process has ended."""
        self.send(number)
        return self.process.poll() is not None

    def worker(self) -> int:
        """Return the process id of the worker, waiting for it."""

        def children() -> list[int]:
            return [child.pid for child in psutil.Process(self.pid).children()]

        assert eventually(lambda: bool(children())), self.story()
        return children()[0]

    # At the end

    def wait(self, within: float = PATIENCE) -> int:
        """Wait for the end of the process and return its exit code."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still there after {within} s: {self.story()}") from None
        self.ended = self.ended or time.monotonic()
        for reader in self._readers:
            reader.join(PATIENCE)
            assert not reader.is_alive(), "a process that was left behind holds stdout or stderr"
        return code

    def finish(self, code: int = 0, *, within: float = PATIENCE) -> "Recorder":
        """Wait for the end, and check what holds for every recording that ends with `code`."""
        found = self.wait(within)
        self.checked = True
        assert "Traceback" not in self.stderr, self.stderr
        assert "Exception ignored" not in self.stderr, self.stderr
        assert found == code, self.story()
        if code == 2:
            assert self.raw == b"", self.story()
            assert self.stderr.strip(), "a refusal says why"
        elif self.process.stdout is not None and not self._text:
            self._check_lines(whole=code != 30 and code >= 0)
        return self

    def _check_lines(self, *, whole: bool) -> None:
        lines = self.lines
        if lines and not whole and not lines[-1].raw.endswith(b"\n"):
            lines = lines[:-1]  # cut off by the reader's end
        for line in lines:
            _check_form(line)
        kinds = [line.fields["type"] for line in lines]
        chunks = [line.fields for line in lines if line.fields["type"] == "chunk"]
        assert [chunk["index"] for chunk in chunks] == list(range(len(chunks)))
        if not whole:
            return
        assert kinds.count("done") == 1, self.story()
        assert kinds[-1] == "done", self.story()
        done = lines[-1].fields
        assert done["totalChunks"] == len(chunks)
        assert done["full_text"] == " ".join(c["text"] for c in chunks if c["text"])

    def of(self, kind: str) -> list[Fields]:
        """Return the lines of one type."""
        return [line.fields for line in self.lines if line.fields["type"] == kind]

    @property
    def done(self) -> Fields:
        return self.of("done")[-1]

    @property
    def text(self) -> str:
        text = self.done["full_text"]
        assert isinstance(text, str)
        return text

    @property
    def heard(self) -> list[str]:
        return self.text.split()

    def chunks(self) -> list[Fields]:
        """Return the chunk lines without the only key that may differ between two runs."""
        return [{k: v for k, v in c.items() if k != "elapsed_ms"} for c in self.of("chunk")]

    def codes(self) -> list[str]:
        """Return the codes of the error lines."""
        return [str(error["code"]) for error in self.of("error")]

    def story(self) -> str:
        lines = b"".join(line.raw for line in self.lines[-20:]).decode(errors="replace")
        return f"code {self.process.poll()}\n{lines}\nstderr: {self.stderr[-2000:]}"

    def dispose(self) -> None:
        """Leave nothing behind, whatever the test found."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _matches(found: Fields, kind: str, fields: Fields) -> bool:
    return found["type"] == kind and all(found.get(k) == v for k, v in fields.items())


def _check_form(line: Line) -> None:
    """One JSON object, compact, UTF-8, nothing a terminal acts on, ended by one line feed."""
    assert line.raw.endswith(b"}\n"), line.raw
    text = line.raw[:-1].decode("utf-8")
    assert text.isprintable(), line.raw
    if "\\u" not in text:
        compact = json.dumps(line.fields, ensure_ascii=False, separators=(",", ":"))
        assert text == compact
    assert next(iter(line.fields)) == "type"
    if line.fields["type"] == "chunk":
        assert type(line.fields["elapsed_ms"]) is int
        assert 0 <= line.fields["confidence"] <= 1


class Start(Protocol):
    """Starts `progressive-record` with the tone backend."""

    def __call__(
        self,
        *arguments: str | Path,
        script: Fields | None = None,
        env: dict[str, str] | None = None,
        wrap: str = "",
        model: bool = True,
        **options: Any,
    ) -> Recorder:
        """Start it.

        `script` adds to the backend's script; `wrap` is a shell line that runs the command as
        "$@"; `model=False` leaves the backend to the arguments.
        """


def command(*arguments: str | Path, wrap: str = "") -> list[str]:
    """Return the command line, run by a shell line where one is given."""
    shell = ["sh", "-c", wrap, "sh"] if wrap else []
    return [*shell, *PROGRAM, *map(str, arguments)]


PATCHED = """\
import dataclasses, sys
from parakeet_coreml.audio import file
from parakeet_coreml.recognition import cutting, pipeline
from parakeet_coreml import selection
from parakeet_coreml.recording import ending, session
from parakeet_coreml.__main__ import main
{changes}
sys.argv[0] = "parakeet-coreml"
main()
"""


def patched(folder: Path, *changes: str) -> str:
    """Return a `wrap` that runs the program with changes like `ending.STUCK_LIMIT = 1.0`."""
    program = folder / "patched.py"
    program.write_text(PATCHED.format(changes="\n".join(changes)))
    # Behind the interpreter and its switches come the arguments of the program itself.
    skip = 'while [ "$1" != progressive-record ]; do shift; done'
    return f'{skip}; exec "{sys.executable}" "{program}" "$@"'


def write_script(folder: Path, **more: Any) -> Path:
    """Write a script for the tone backend, a new one each time."""
    path = folder / f"script{len(list(folder.glob('script*.json')))}.json"
    tones = {"tones": {str(hz): word for word, hz in TONES.items()}}
    path.write_text(json.dumps({**({} if "windows" in more else tones), **more}))
    return path


def microphones_in_use(server: PulseServer) -> int:
    """Return how many recordings the sound server serves."""
    done = subprocess.run(
        ["pactl", "list", "short", "source-outputs"],
        env=server.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return len(done.stdout.splitlines())


def spoken(*words: str, rest: float = 0.5) -> Pcm:
    """Return words for the microphone."""
    return s16(sound(*words, rest=rest, rate=MIC_RATE))
