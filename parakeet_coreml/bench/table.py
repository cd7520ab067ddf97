"""Many kept recordings as one table: per backend and model, how each latency spreads."""

from collections.abc import Callable, Iterable, Sequence

from parakeet_coreml.bench.figures import spread
from parakeet_coreml.bench.kept import Recording


def _between(first: str, second: str) -> Callable[[Recording], float | None]:
    """Return what measures from one stage to another, where both were reached."""

    def measure(recording: Recording) -> float | None:
        stages = {"start": 0.0, **recording.stages}
        if recording.received is not None:
            stages["received"] = recording.received
        begin = stages.get(first, stages["start"] if first == "key" else None)
        end = stages.get(second)
        return None if begin is None or end is None or end < begin else end - begin

    return measure


def _per_window(recording: Recording) -> float | None:
    total = recording.timing.get("windows")
    return total["elapsed_ms"] / total["windows"] if total else None


MEASURES: dict[str, Callable[[Recording], float | None]] = {
    "key to first sound": _between("key", "first_sample"),
    "key to model": _between("key", "model"),
    "first sound to first words shown": _between("first_sample", "first_partial"),
    "stop to done": _between("stop", "done"),
    "stop to the host has it": _between("stop", "received"),
    "decoding of a window": _per_window,
}
"""What the table has of each recording, in ms; from the start where no key press was given."""


def table(recordings: Iterable[Recording]) -> str:
    """Return the table, in ms, a row for each measure that any recording of a group has."""
    groups: dict[tuple[str, str, str, str], list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.who, []).append(recording)
    rows: list[tuple[str, ...]] = [
        ("backend", "model", "form", "units", "ms", "n", "median", "p95", "min", "max")
    ]
    for who, group in sorted(groups.items()):
        for name, measure in MEASURES.items():
            found = spread([ms for recording in group if (ms := measure(recording)) is not None])
            if found is not None:
                figures = (found.median, found.p95, found.least, found.most)
                rows.append((*who, name, str(found.n), *(f"{ms:.1f}" for ms in figures)))
    return aligned(rows, left=5)


def aligned(rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Return rows in columns, the first `left` of them to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
