"""One run: the real recorder, spawned as a host does, and what its lines and the system say."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from parakeet_coreml.bench import stops
from parakeet_coreml.bench.figures import confirmed_latency
from parakeet_coreml.bench.kept import Line
from parakeet_coreml.bench.machine import BUSY, Load, Memory
from parakeet_coreml.bench.plan import Task

EVENTS = "ready,partial,window,timing"
"""Lines besides the words."""

PATIENCE = 900.0
"""Seconds a run may take besides its audio: a first compile for the Neural Engine is minutes."""

KEPT = frozenset({"ready", "window", "timing", "done"})
"""Types of line that go into the result."""


def program() -> list[str]:
    """Return the command that starts this very program."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    return [sys.executable, "-P", "-m", "parakeet_coreml"]


def run(task: Task, recorder: Sequence[str]) -> dict[str, Any]:
    """Carry out one run and return its row: the transcript, the figures, the lines."""
    if task.stop is None and task.utterance.offset is None:
        return _Spawn(task, recorder).row(["--input", str(task.utterance.path)], None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "played.wav"
        if task.stop is None:
            stops.write(path, task.utterance.audio())
            return _Spawn(task, recorder).row(["--input", str(path)], None)
        audio, at = stops.prepared(task.utterance.audio(), task.stop)
        stops.write(path, audio)
        return _Spawn(task, recorder).row(["--input", str(path), "--realtime"], at)


class _Spawn:
    """The recorder, from spawn to exit. Times are ms since the spawn."""

    def __init__(self, task: Task, recorder: Sequence[str]) -> None:
        self._task = task
        self._command = [*recorder, "progressive-record", *task.variant.arguments()]
        self._lines: list[Line] = []
        self._sound = self._stopped = 0.0

    def row(self, source: list[str], stop_at: float | None) -> dict[str, Any]:
        load, before = Load(), time.process_time()
        began, key = time.monotonic(), time.time() * 1000
        command = [*self._command, *source, "--events", EVENTS, "--meta", "--t0", f"{key:.1f}"]
        said = tempfile.TemporaryFile()  # noqa: SIM115  it is read when the program has ended
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stop_at is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        memory = Memory(process.pid)
        limit = threading.Timer(self._task.utterance.seconds + PATIENCE, process.kill)
        limit.start()
        try:
            self._read(process, began, key, stop_at)
        except BaseException:
            process.kill()
            raise
        finally:
            limit.cancel()
        # Its CPU time has the worker's in it, which it waits for.
        _, status, usage = os.wait4(process.pid, 0)
        wall = (time.monotonic() - began) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        cpu = usage.ru_utime + usage.ru_stime
        others = load.others(cpu + time.process_time() - before)
        recorder, worker = memory.peaks()
        found = {"wall_ms": wall, "cpu_s": cpu, "recorder_mb": recorder, "worker_mb": worker}
        return {
            **self._named(process.returncode, _error_in(said)),
            "figures": _rounded(found | self._figures()),
            "others_cores": round(others, 2),
            "busy": others > BUSY,
            "lines": [line for line in self._lines if line.get("type") in KEPT],
        }

    def _read(
        self, process: subprocess.Popen[bytes], began: float, key: float, stop_at: float | None
    ) -> None:
        """Take the lines as they come, and stop a recording in real time at its moment."""
        assert process.stdout is not None  # noqa: S101  it is a pipe
        timer: threading.Timer | None = None
        for text in process.stdout:
            ms = (time.monotonic() - began) * 1000
            try:
                line = json.loads(text)
            except ValueError:
                line = {"type": "?"}
            line |= {"ms": round(ms, 1), "received_ms": round(key + ms, 1)}
            self._lines.append(line)
            if line.get("what") == "capture":
                self._sound = ms
                if stop_at is not None:
                    timer = threading.Timer(stop_at, self._stop, (process, began))
                    timer.start()
        if timer is not None:
            timer.cancel()

    def _stop(self, process: subprocess.Popen[bytes], began: float) -> None:
        assert process.stdin is not None  # noqa: S101  it is a pipe
        self._stopped = (time.monotonic() - began) * 1000
        try:
            process.stdin.write(b"stop\n")
            process.stdin.flush()
        except OSError:
            return  # it has ended

    def _named(self, exit_code: int, error: str | None) -> dict[str, Any]:
        done = self._of("done")
        return {
            "key": self._task.key,
            "name": self._task.utterance.name,
            "variant": asdict(self._task.variant) | {"name": self._task.variant.name},
            "stop": self._task.stop,
            "warmup": self._task.warmup,
            "seconds": round(self._task.utterance.seconds, 3),
            "exit_code": exit_code,
            "error": error,
            "said": self._task.utterance.text,
            "heard": None if done is None else done.get("full_text"),
        }

    def _of(self, kind: str, what: str | None = None) -> Line | None:
        fitting = (
            line
            for line in self._lines
            if line["type"] == kind and (what is None or line.get("what") == what)
        )
        return next(fitting, None)

    def _figures(self) -> dict[str, float | None]:
        """Return what the lines contain; None where it was not measured."""
        model, timing, done = self._of("ready", "model"), self._of("timing"), self._of("done")
        total = timing.get("windows") if timing else None
        live = self._task.stop is not None
        first = next((line["ms"] for line in self._lines if line.get("text")), None)
        arrivals = [
            (line["ms"] - self._sound, float(line["end_ms"]))
            for line in self._lines
            if line["type"] == "chunk"
        ]
        stopped = self._stopped if live and self._stopped else None
        waited = done["ms"] - stopped if done and stopped is not None else None
        # A short recording ends before its model is there, and waits for that above all.
        early = stopped is not None and (model is None or model["ms"] > stopped)
        return {
            "sound_ms": self._sound or None,
            "model_ms": model["ms"] if model else None,
            "first_words_ms": first - self._sound if live and first is not None else None,
            "confirmed_ms": confirmed_latency(arrivals) if live else None,
            "stop_done_ms": None if early else waited,
            "stop_loading_ms": waited if early else None,
            "decoding_ms": total["elapsed_ms"] if total else None,
            "search_ms": total.get("search_ms") if total else None,
            "encoder_ms": total.get("encoder_ms") if total else None,
        }


def _error_in(said: IO[bytes]) -> str | None:
    """Return the first error among what was said on stderr; None where there is none."""
    with said:
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
    return next(
        (line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")), None
    )


def _rounded(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 2) for name, value in figures.items()}
