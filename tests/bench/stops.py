"""Stop to `done` of the real recorder, after a pause and in a word, whatever a window costs.

    python tests/bench/stops.py [--stops 20] [--long] [--only 2000]
    python tests/bench/stops.py --microphone [--stops 20] [--only 26]

Recordings are made here: phrases of tone words with pauses, played in real time, heard by the
scripted backend, which takes 26, 60, 300 or 2,000 ms a window. `--long` adds one stop each in a
recording of 10 min (`--long 5`: 5 min); `--stops 0` makes these alone. What is printed is what a
host sees: from the line `stop` to the line `done`, and of how many stops the last window was known
by then or under way.

With `--microphone` a private PulseAudio server plays them, one at a time, and how long the capture
took to end is printed apart.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "host"))
sys.path.insert(0, str(ROOT / "tests"))

from pulse import RATE as MICROPHONE_RATE  # noqa: E402  what tests hear
from pulse import PulseServer  # noqa: E402  likewise
from recorder import BURST, TONES, WORDS  # noqa: E402  likewise

RATE = 16_000
WINDOWS = (26, 60, 300, 2_000)
"""Milliseconds a window may take."""

PHRASE, GAP, PAUSE = 5, 0.15, 4.0
"""Words of a phrase, seconds between them, and after it."""

SELDOM = 7.0
"""Seconds after a phrase where a window takes 2 s: a decode of each pause is a quarter of the time
then, and no more may be spent on it."""

LEAD = 6.0
"""Seconds of a quiet room in which a recorder begins to listen to a microphone."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Where a phrase lies in a recording, in seconds."""

    start: float
    stop: float


def recording(
    seconds: float, pause: float = PAUSE, rate: int = RATE
) -> tuple[np.ndarray, list[Phrase]]:
    """Return tone words in phrases, and where these are."""
    audio = np.random.default_rng(1).normal(0, 1e-4, round(seconds * rate))
    phrases, at, word = [], 1.0, 0
    while at + PHRASE * (BURST + GAP) + pause < seconds:
        start = at
        for _ in range(PHRASE):
            hz = TONES[WORDS[word % len(WORDS)]]
            span = np.arange(round(BURST * rate)) / rate
            first = round(at * rate)
            audio[first : first + len(span)] += 0.3 * np.sin(2 * np.pi * hz * span)
            at, word = at + BURST + GAP, word + 1
        phrases.append(Phrase(start, at - GAP))
        at += pause - GAP
    return audio, phrases


@dataclass(frozen=True, slots=True)
class Stop:
    """What came of one stop."""

    took: float
    """Milliseconds until `done`."""
    known: bool
    """Its last window was decoded ahead of need."""
    closing: float
    """Milliseconds until the capture had ended."""


class Recorder:
    """The recorder with the scripted backend, once it listens and its model is loaded."""

    def __init__(self, script: Path, *extra: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-P", "-m", "parakeet_coreml", "progressive-record"]
        options = ["--backend", "scripted", "--model", str(script)]
        self._process = subprocess.Popen(
            [*command, *options, "--events", "ready,window,timing", *extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=env,
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # All the time: a pipe that nobody reads holds some minutes of lines, and then it ends.
        threading.Thread(target=self._read, daemon=True).start()
        self.begun = 0.0
        for line in iter(self._lines.get, b""):
            if json.loads(line).get("what") == "capture":
                self.begun = time.monotonic()
            if json.loads(line).get("what") == "model":
                break

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def stop(self) -> Stop:
        """Stop it now."""
        process, told = self._process, time.monotonic()
        assert process.stdin is not None
        process.stdin.write(b"stop\n")
        process.stdin.flush()
        known, closing = False, 0.0
        for line in iter(self._lines.get, b""):
            fields = json.loads(line)
            if fields["type"] == "window":
                known = bool(fields["ahead"])
            if fields["type"] == "timing":
                stages = fields["stages"]
                closing = stages["capture_end_ms"] - stages["stop_ms"]
            if fields["type"] == "done":
                took = (time.monotonic() - told) * 1000
                process.wait()
                return Stop(took, known, closing)
        raise RuntimeError(f"it ended without a last line: {process.wait()}")


def stopped(wav: Path, script: Path, at: float) -> Stop:
    """Play a file, and stop it at a second of its audio."""
    # The last phrase of ten minutes ends behind them, where a live recording would.
    recorder = Recorder(script, "--input", str(wav), "--realtime", "--max-seconds", "3600")
    time.sleep(max(0.0, recorder.begun + at - time.monotonic()))
    return recorder.stop()


def heard(pulse: PulseServer, script: Path, audio: np.ndarray, at: float) -> Stop:
    """Play sound to a microphone, and stop the recorder at a second of it, behind `LEAD`."""
    # In one piece from before it listens: what is played piece by piece has gaps, as no device has.
    played, begun = pulse.mic.play(np.round(audio * 32_767).astype(np.int16)), time.monotonic()
    recorder = Recorder(script, env=pulse.env)
    left = begun + LEAD + at - time.monotonic()
    if left < at:
        raise RuntimeError(f"it was not ready in {LEAD} s")
    time.sleep(left)
    stop = recorder.stop()
    played.wait()
    return stop


def script_of(folder: Path, milliseconds: int) -> Path:
    """Write the script of a backend that takes so long."""
    tones = {str(hz): word for word, hz in TONES.items()}
    path = folder / f"script{milliseconds}.json"
    path.write_text(json.dumps({"tones": tones, "delay_s": milliseconds / 1000}))
    return path


def after_a_pause(phrase: Phrase, window: int) -> float:
    """Return when a stop falls 0.5 s and a window into the pause behind a phrase."""
    wait = 0.8 if window > 1000 else 0.5
    return phrase.stop + wait + window / 1000


def row(name: str, stops: list[Stop], *, closing: bool = False) -> str:
    """Return one row of the table."""
    times = [stop.took for stop in stops]
    p50, p95 = np.percentile(times, [50, 95])
    known = sum(stop.known for stop in stops)
    cells = f"| {name} | {len(times)} | {known} | {p50:.0f} | {p95:.0f} | {max(times):.0f} |"
    if closing:
        of, most = np.percentile([stop.closing for stop in stops], [50, 95])
        cells += f" {of:.0f} | {most:.0f} |"
    return cells


def from_a_microphone(options: argparse.Namespace, folder: Path) -> None:
    """Print the table of stops of a microphone, with the closing of the capture apart."""
    print(
        "| microphone: stop → `done`, ms | n | known | p50 | p95 | most | closing p50 | p95 |"
        "\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    audio, (first, *_) = recording(10.0, SELDOM, MICROPHONE_RATE)
    lead = np.random.default_rng(2).normal(0, 1e-4, round(LEAD * MICROPHONE_RATE))
    with PulseServer() as pulse:
        for window in [options.only] if options.only else WINDOWS:
            script = script_of(folder, window)
            for kind in ("pause", "word"):
                at = after_a_pause(first, window) if kind == "pause" else first.start + 0.4
                apart = np.random.default_rng(window).uniform(0, 0.2, options.stops).tolist()
                sound = np.concatenate((lead, audio[: round((at + 0.5) * MICROPHONE_RATE)]))
                found = [heard(pulse, script, sound, at + later) for later in apart]
                print(row(f"{window} ms a window, in a {kind}", found, closing=True), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=20, help="of each kind")
    parser.add_argument("--together", type=int, default=4, help="recordings at a time")
    parser.add_argument("--only", type=int, help="milliseconds a window takes")
    parser.add_argument(
        "--long", type=float, nargs="?", const=10.0, help="in recordings of so many minutes too"
    )
    parser.add_argument("--microphone", action="store_true", help="from one, alone")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {options.together} at a time\n")
    if options.microphone:
        with tempfile.TemporaryDirectory() as name:
            from_a_microphone(options, Path(name))
        return
    print("| stop → `done`, ms | n | known | p50 | p95 | most |\n|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.together) as pool:
        folder = Path(name)
        for seconds in (10.0, *((60 * options.long,) if options.long else ())):
            count = options.stops if seconds < 60 else 1
            jobs = []
            for window in [options.only] if options.only else WINDOWS:
                pause = SELDOM if window > 1000 else PAUSE
                audio, phrases = recording(seconds + 2 * pause, pause)
                # A file of its own for each: one that is written anew breaks off for its reader.
                wav, last = folder / f"{seconds:.0f}-{window}.wav", phrases[-1]
                soundfile.write(wav, audio, RATE)
                script = script_of(folder, window)
                for kind in ("pause", "word"):
                    for i in range(count):
                        apart = 0.03 * i / max(1, count)
                        at = after_a_pause(last, window) if kind == "pause" else last.start + 0.1
                        job = pool.submit(stopped, wav, script, at + apart)
                        jobs.append((f"{seconds:.0f} s, {window} ms a window, in a {kind}", job))
            found: dict[str, list[Stop]] = {}
            for label, job in jobs:
                found.setdefault(label, []).append(job.result())
            for label, stops in found.items():
                print(row(label, stops), flush=True)


if __name__ == "__main__":
    main()
