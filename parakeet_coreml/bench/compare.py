"""Two benches side by side: what got better, and whether that is more than chance."""

from parakeet_coreml.bench.figures import paired
from parakeet_coreml.bench.findings import LATENCIES, Finding, find
from parakeet_coreml.bench.report import facts
from parakeet_coreml.bench.results import Results
from parakeet_coreml.bench.scoring import Scorer
from parakeet_coreml.bench.table import aligned
from parakeet_coreml.errors import UsageError


def compare(first: Results, second: Results, scorer: Scorer) -> str:
    """Return a table of what both measured, variant by variant.

    Raises `UsageError` where they have no variant in common.
    """
    before = {finding.name: finding for finding in find(first, scorer)}
    after = {finding.name: finding for finding in find(second, scorer)}
    both = [name for name in before if name in after]
    if not both:
        names = ", ".join((*before, *after)) or "nothing"
        raise UsageError(f"the two benches measured nothing in common: {names}")
    seed = int(first.plan["what"]["seed"])
    rows = [["", "what", "A", "B", "B against A"]]
    for name in both:
        rows += _words(before[name], after[name], seed)
        rows += _times(before[name], after[name])
    notes = [f"A: {first.folder}", *facts(first)[1:5], f"B: {second.folder}", *facts(second)[1:5]]
    return "\n".join((*notes, "", aligned(rows, left=2)))


def _words(one: Finding, other: Finding, seed: int) -> list[list[str]]:
    """Compare on the recordings that both transcribed, resampled together."""
    names = sorted(one.errors.keys() & other.errors.keys())
    if not names or one.wer is None or other.wer is None:
        return []
    gain = paired([other.errors[n] for n in names], [one.errors[n] for n in names], seed)
    said = f"{gain.value:+.2%} ({gain.low:+.2%} to {gain.high:+.2%}, {len(names)} in common)"
    return [[one.name, "WER", f"{one.wer.value:.2%}", f"{other.wer.value:.2%}", said]]


def _times(one: Finding, other: Finding) -> list[list[str]]:
    series = [
        (label, a.median, b.median)
        for label in LATENCIES
        if (a := one.latencies[label]) is not None and (b := other.latencies[label]) is not None
    ]
    rows = [
        [one.name, f"{label}, p50 ms", f"{a:.0f}", f"{b:.0f}", f"{b / a:.2f}x" if a else ""]
        for label, a, b in series
    ]
    if one.speed and other.speed:
        ratio = f"{other.speed / one.speed:.2f}x"
        rows.append([one.name, "RTFx", f"{one.speed:.0f}", f"{other.speed:.0f}", ratio])
    return rows
