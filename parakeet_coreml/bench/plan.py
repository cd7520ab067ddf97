"""What is to be run, in which order: backends interleaved, so that a slow minute hits all alike."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from parakeet_coreml.bench.data import Utterance

LIVE_SECONDS = (2.0, 20.0)
"""Length of the recordings that are played in real time."""

STOPS = ("pause", "word")
"""Where a recording in real time is stopped: a second after its last word, or in it."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to recognise: what is compared."""

    backend: str
    model: str
    units: str | None = None

    @property
    def name(self) -> str:
        """For reports, unique in a bench."""
        parts = (self.backend, self.model.rstrip("/").rpartition("/")[2], self.units)
        return " ".join(part for part in parts if part)

    def arguments(self) -> list[str]:
        """Return the recorder's options."""
        units = ["--compute-units", self.units] if self.units else []
        return ["--backend", self.backend, "--model", self.model, *units]


@dataclass(frozen=True, slots=True)
class Task:
    """One spawn of the recorder."""

    variant: Variant
    utterance: Utterance
    stop: str | None = None
    """Of a recording in real time; None: a file at full speed."""
    warmup: int | None = None
    """Its number; a warm-up is kept and counts for no figure but the first load."""

    @property
    def key(self) -> str:
        """What it is known by when a bench is resumed."""
        kind = f"warmup{self.warmup}" if self.warmup is not None else self.stop or "file"
        return "|".join((*map(str, asdict(self.variant).values()), kind, self.utterance.name))

    @property
    def seconds(self) -> float:
        """What it takes at least, for the time left."""
        return self.utterance.seconds + 1.0 if self.stop else 0.5


def variants(backends: Sequence[str], models: Sequence[str], units: Sequence[str]) -> list[Variant]:
    """Return every combination; compute units are Core ML's alone."""
    found = [
        Variant(backend, model, unit)
        for backend in backends
        for model in models
        for unit in (units if backend == "coreml" and units else [None])
    ]
    return list(dict.fromkeys(found))


def tasks(
    chosen: Sequence[Variant],
    utterances: Sequence[Utterance],
    *,
    live: int,
    warmups: int,
    seed: int,
) -> list[Task]:
    """Return all runs in order: warm-ups, then each recording by every variant in turn.

    `live` of the recordings are played in real time, half of them stopped in a pause.
    """
    rng = random.Random(seed)  # noqa: S311  an order
    shortest = min(utterances, key=lambda utterance: utterance.seconds)
    found = [
        Task(variant, shortest, warmup=number) for number in range(warmups) for variant in chosen
    ]
    least, most = LIVE_SECONDS
    fitting = [u for u in utterances if least <= u.seconds <= most] or list(utterances)
    played = rng.sample(fitting, min(live, len(fitting)))
    rounds: list[tuple[Utterance, str | None]] = [(utterance, None) for utterance in utterances]
    rounds += [(utterance, STOPS[i % len(STOPS)]) for i, utterance in enumerate(played)]
    rng.shuffle(rounds)
    for utterance, stop in rounds:
        found += [Task(variant, utterance, stop) for variant in rng.sample(chosen, len(chosen))]
    return found
