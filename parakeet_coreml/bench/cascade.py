"""One recording as a waterfall: the critical path from the key to delivery, and what lay beside it.

The path is a chain of intervals without a gap, each named by what it ends with, so they add up to
the wall time; what overlaps it (the model loading, windows decoded while the person speaks) is
drawn below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from parakeet_coreml.bench.kept import Line, Recording

CHAIN = {
    "key": "",
    "start": "the program starts",
    "capture": "the microphone opens",
    "first_sample": "the first sound comes",
    "stop": "the person speaks",
    "capture_end": "the microphone closes",
    "model": "the rest of the model's loading",
    "last_window": "the last window",
    "done": "the last line is written",
    "received": "the host has it",
}
"""Stages in the order of the critical path, and what the interval up to each is."""

STEPS = ("features", "encoder", "search")
"""Of a window, in their order."""

BAR = 44
"""Columns of the bars in a terminal."""

SPOKEN = 0.25
"""Most of the width that the person's speaking gets."""

WIDTH, ROW, LEFT = 960, 22, 300
"""Pixels of the picture, of a row, and in front of the bars."""

COLOURS = {"path": "#2563eb", "beside": "#94a3b8"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of the recording, in ms since the program's first instruction."""

    name: str
    begin: float
    end: float

    @property
    def ms(self) -> float:
        """How long it is."""
        return self.end - self.begin


def path(recording: Recording) -> list[Interval]:
    """Return the critical path: intervals that follow one another without a gap.

    A stage that was not measured, or was reached before an earlier one of the chain, is no part of
    it.
    """
    stages = {"start": 0.0, **recording.stages}
    if recording.received is not None:
        stages["received"] = recording.received
    if stages.get("capture", 0.0) > stages.get("first_sample", stages.get("capture", 0.0)):
        del stages["capture"]  # sound arrived before the device said that it was open
    found: list[Interval] = []
    last: float | None = None
    for stage, name in CHAIN.items():
        at = stages.get(stage)
        if at is None or (last is not None and at < last):
            continue
        if last is not None:
            found += _steps(recording, stage, Interval(_said(stage, name, stages), last, at))
        last = at
    return found


def _said(stage: str, name: str, stages: dict[str, float]) -> str:
    """Return what an interval is: without a stop before it, the input was read to its end."""
    if stage == "capture_end" and stages.get("stop", stages["capture_end"]) >= stages[stage]:
        return "the input is read"
    return name


def _steps(recording: Recording, stage: str, whole: Interval) -> list[Interval]:
    """Part the last window into its steps, where they were measured and lie in the interval."""
    if stage != "last_window" or not recording.windows:
        return [whole]
    window = recording.windows[-1]
    begun = window.get("begun_ms")
    if begun is None or window.get("ahead") or not whole.begin <= begun <= whole.end:
        return [whole]
    found = [Interval("the last window waits", whole.begin, begun)]
    at = float(begun)
    for step in STEPS:
        end = at + float(window.get(f"{step}_ms", 0.0))
        if end > at and end <= whole.end:
            found.append(Interval(f"the last window: {step}", at, end))
            at = end
    return [*found, Interval("the last window: the way there and back, words", at, whole.end)]


def beside(recording: Recording) -> list[Interval]:
    """Return what overlapped the path: the model's loading, and each window.

    When a window was decoded ahead of need is not reported, so those are no part of it.
    """
    found = []
    model = recording.stages.get("model")
    if model is not None:
        found.append(Interval("the model loads", 0.0, model))
    for window in recording.windows:
        begun = window.get("begun_ms")
        if begun is not None and not window.get("ahead"):
            name = f"window {window['index']}"
            found.append(Interval(name, begun, begun + window["elapsed_ms"]))
    return found


def title(recording: Recording) -> str:
    """Return who made it."""
    backend, model, form, units = recording.who
    runtime = recording.timing.get("runtime", "?")
    warm = {"True": "warm", "False": "cold"}.get(str(recording.timing.get("warm")), "not loaded")
    return f"{recording.name}: {model} ({form}) on {backend}, {units}, {runtime}, {warm}"


def sums(recording: Recording) -> str:
    """Return what its windows cost in all, in one line; "" where there was none."""
    total: Line = recording.timing.get("windows") or {}
    if not total:
        return ""
    steps = (f"{step} {total[f'{step}_ms']:.1f} ms" for step in STEPS if f"{step}_ms" in total)
    calls = (
        f"{total[f'{net}_calls']} {net}"
        for net in ("predictor", "joint")
        if f"{net}_calls" in total
    )
    counted = ", ".join((*steps, *calls))
    return (
        f"{total['windows']} windows of {total['audio_ms'] / 1000:.1f} s in "
        f"{total['elapsed_ms']:.1f} ms: {counted or 'steps not measured'}; "
        f"{total['tokens']} tokens, {total['retries']} retries, {total['ahead']} ahead of need"
    )


def text(recording: Recording) -> str:
    """Return the cascade for a terminal."""
    steps, others = path(recording), beside(recording)
    axis = _axis(steps, others)
    wall = sum(step.ms for step in steps)
    rows = [title(recording), ""]
    rows += [_row(step, axis, "█") for step in steps]
    rows += [f"{'together':<46} {'':>9} {wall:>9.1f} ms", ""]
    if others:
        rows += ["meanwhile", *(_row(other, axis, "▒") for other in others), ""]
    return "\n".join((*rows, sums(recording))).rstrip()


@dataclass(frozen=True, slots=True)
class Axis:
    """From ms to a share of the width. What the person spoke is drawn short where it is long."""

    begin: float
    end: float
    spoken: Interval | None = None

    def at(self, ms: float) -> float:
        """Return the place of a moment, 0 to 1."""
        return self._bent(ms) / max(self._bent(self.end), 1e-9)

    def _bent(self, ms: float) -> float:
        long = self.spoken
        if long is None:
            return ms - self.begin
        rest = self.end - self.begin - long.ms
        short = min(long.ms, rest * SPOKEN / (1 - SPOKEN))
        inside = min(max(ms - long.begin, 0.0), long.ms)
        return ms - self.begin - inside * (1 - short / max(long.ms, 1e-9))


def _axis(steps: Sequence[Interval], others: Sequence[Interval]) -> Axis:
    every = [*steps, *others]
    begin = min((i.begin for i in every), default=0.0)
    end = max((i.end for i in every), default=begin + 1.0)
    return Axis(begin, end, next((i for i in steps if i.name == CHAIN["stop"]), None))


def _row(interval: Interval, axis: Axis, mark: str) -> str:
    first = min(BAR - 1, int(axis.at(interval.begin) * BAR))
    count = max(1, round(axis.at(interval.end) * BAR) - first)
    bar = " " * first + mark * count
    return f"{interval.name:<46} {interval.begin:>9.1f} {interval.ms:>9.1f} ms  {bar}"


def svg(recording: Recording, note: str = "") -> str:
    """Return the cascade as a picture that needs nothing else; `note` says when and where."""
    feet = [*sums(recording).split(": "), note]
    return picture(title(recording), path(recording), beside(recording), feet)


def picture(
    head: str, steps: Sequence[Interval], others: Sequence[Interval], feet: Sequence[str]
) -> str:
    """Return intervals as a picture: a path, what lay beside it, and lines below."""
    feet = [f"together {sum(step.ms for step in steps):.1f} ms", *filter(None, feet)]
    axis = _axis(steps, others)
    rows = [(step, "path") for step in steps] + [(other, "beside") for other in others]
    height = ROW * (len(rows) + len(feet) + 2)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="system-ui, sans-serif" font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="{ROW - 6}" font-weight="bold">{escape(head)}</text>',
    ]
    parts += [_drawn(row, place, axis) for place, row in enumerate(rows, start=1)]
    for line, foot in enumerate(feet, start=len(rows) + 1):
        y = line * ROW + 24
        parts.append(f'<text x="8" y="{y}" fill="#475569">{escape(foot)}</text>')
    return "\n".join((*parts, "</svg>", ""))


def _drawn(row: tuple[Interval, str], place: int, axis: Axis) -> str:
    interval, kind = row
    room = WIDTH - LEFT - 90
    x, y = LEFT + axis.at(interval.begin) * room, place * ROW + 6
    wide = max(1.0, axis.at(interval.end) * room + LEFT - x)
    return (
        f'<text x="8" y="{y + 12}">{escape(interval.name)}</text>'
        f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{ROW - 6}" fill="{COLOURS[kind]}"/>'
        f'<text x="{x + wide + 4:.1f}" y="{y + 12}" fill="#475569">{interval.ms:.1f} ms</text>'
    )
