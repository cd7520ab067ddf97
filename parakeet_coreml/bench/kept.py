"""Recordings out of the lines that a host has kept of them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from parakeet_coreml.errors import UsageError

Line = dict[str, Any]
"""One line of the protocol; with `received_ms`, in Unix ms, where the host has added it."""


WINDOW = ("index", "elapsed_ms")
"""What is drawn of a window, besides the stages that were measured."""

SUMS = ("windows", "audio_ms", "elapsed_ms", "tokens", "retries", "ahead")
"""What is said of all windows."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was kept of one recording, its `timing` line at least. Times are ms."""

    name: str
    timing: Line
    windows: tuple[Line, ...] = ()
    received: float | None = None
    """When the last line reached the host, since the program's first instruction."""

    @property
    def stages(self) -> dict[str, float]:
        """When each stage was reached, since the program's first instruction."""
        return {name.removesuffix("_ms"): float(t) for name, t in self.timing["stages"].items()}

    @property
    def who(self) -> tuple[str, str, str, str]:
        """Backend, model, form and compute units; `?` for what is not known."""
        keys = ("backend", "model", "form", "compute_units")
        backend, model, form, units = (str(self.timing.get(key, "?")) for key in keys)
        return backend, model, form, units


def recordings(lines: Iterable[str], name: str) -> Iterator[Recording]:
    """Yield each recording in the lines of a file, as far as it was timed.

    A recording ends with `done`; a line that holds `lines`, as `bench` writes it, is a whole one.
    Raises `UsageError` for a line that is none.
    """
    open_lines: list[Line] = []
    count = 0
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        line = _parsed(text, name, number)
        whole = line.get("lines")
        batch = whole if isinstance(whole, list) else [line]
        for kept in batch:
            open_lines.append(kept)
            if kept.get("type") == "done":
                count += 1
                found = _recording(open_lines, str(line.get("name") or f"{name}:{count}"))
                open_lines = []
                if found is not None:
                    yield found


def _parsed(text: str, name: str, number: int) -> Line:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        line = None
    if isinstance(line, dict) and ("type" in line or "lines" in line):
        batch = line.get("lines", [])
        if isinstance(batch, list) and all(isinstance(each, dict) for each in batch):
            return line
    raise UsageError(f"{name}, line {number} is no line of a recording", "keep stdout as it comes")


def _recording(lines: list[Line], name: str) -> Recording | None:
    timing = next((line for line in lines if line.get("type") == "timing"), None)
    if timing is None or not _whole(timing):
        return None
    if not _measured(timing.get("windows"), SUMS):
        timing = {key: value for key, value in timing.items() if key != "windows"}
    windows = tuple(o for o in lines if o.get("type") == "window" and _measured(o, WINDOW))
    return Recording(name, timing, windows, received_after(timing, lines[-1]))


def received_after(timing: Line, last: Line) -> float | None:
    """Return when the last line reached the host, in ms since the program's first instruction."""
    came, epoch = last.get("received_ms"), timing.get("epoch_ms")
    if isinstance(came, int | float) and isinstance(epoch, int | float):
        return float(came - epoch)
    return None


def _whole(timing: Line) -> bool:
    stages = timing.get("stages")
    return isinstance(stages, dict) and all(map(_number, stages.values()))


def _measured(figures: object, needed: tuple[str, ...]) -> bool:
    """Return whether figures have what is drawn of them, all in numbers."""
    if not isinstance(figures, dict):
        return False
    drawn = (*needed, *(key for key in figures if key.endswith(("_ms", "_calls"))))
    return all(_number(figures.get(key)) for key in drawn)


def _number(value: object) -> bool:
    return type(value) in {int, float}
