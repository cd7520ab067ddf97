"""The protocol every backend keeps, what it is opened with and what it gives; times in samples.

Importing this loads neither NumPy nor a runtime. What is made before a microphone runs is a
NamedTuple rather than a dataclass, here and elsewhere: making one takes a sixth of the time.
"""

import json
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from parakeet_coreml.audio.samples import Samples
from parakeet_coreml.errors import ModelUnusableError

COMPUTE_UNITS = ("cpu_and_ne", "all", "cpu_and_gpu", "cpu_only")
"""What `--compute-units` takes: Core ML's names in small letters."""

INSTALL = {
    "coreml": "pip install 'coremltools>=9.0,<9.2'",
    "onnx": "pip install 'onnxruntime>=1.22,<2'",
    "mlx": "pip install 'parakeet-coreml[mlx]'",
}
"""How to get the package behind a backend, in the versions that are known to work."""


class Token(NamedTuple):
    """One vocabulary entry the model emitted. `piece` is its text; `▁` opens a word."""

    id: int
    piece: str
    start: int
    """Samples from the start of the window, or of the recording once shifted."""
    duration: int
    """Samples the model advanced by; 0 is allowed."""
    probability: float
    """Softmax probability over the vocabulary and blank, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Work:
    """What decoding took: seconds by stage, calls by network. None where it was not measured."""

    features: float | None = None
    """None too where the model computes them itself."""
    encoder: float | None = None
    """The features included where those are None."""
    search: float | None = None
    """The search with the predictor and the joint network in it."""
    predictor: int | None = None
    joint: int | None = None

    def __add__(self, other: "Work") -> "Work":
        """Add up; what only one of them has counts as it is."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in WORK)
        return Work(*(b if a is None else a if b is None else a + b for a, b in pairs))


WORK = ("features", "encoder", "search", "predictor", "joint")
"""The fields of `Work`, in order."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a backend decoded in one window: tokens in the decoder's order."""

    tokens: tuple[Token, ...] = ()
    work: Work | None = field(default=None, compare=False)
    """What it took, where the backend says so."""

    def shifted(self, offset: int) -> "Hypothesis":
        """Return the same tokens, `offset` samples later."""
        tokens = tuple(t._replace(start=t.start + offset) for t in self.tokens)
        return Hypothesis(tokens, self.work)

    def __bool__(self) -> bool:
        return bool(self.tokens)


class Term(NamedTuple):
    """A word or phrase the search prefers where it is in doubt."""

    text: str
    """As it is to be written, words parted by single spaces."""
    spoken: str = ""
    """As the model would transcribe it; empty where that is `text`."""
    weight: float = 1.0
    """Times the boost."""
    place: str = ""
    """Where the user wrote it: `line 3`, `--phrase`."""


class BackendSpec(NamedTuple):
    """What a worker needs to open a backend; crosses the process border as JSON."""

    backend: str
    """Its name in the registry."""
    model: str
    """Name for people: `tiny-en`, `v3`, or the folder's name."""
    directory: str
    """Folder with the model's files; for `scripted`, the script's path."""
    compute_units: str = "cpu_and_ne"
    models_dir: str = ""
    """Folder of models that was asked for; Core ML keeps what it compiled there."""
    blank: int | None = None
    """Blank id, where the model's manifest states it."""
    durations: tuple[int, ...] | None = None
    """Durations by index, in encoder frames, as `locate.stated` or a manifest has them."""
    served: int = 0
    """Windows answered or given up before this process started."""
    attempt: int = 0
    """Restarts already spent on the window that comes first, those while loading included."""
    terms: tuple[Term, ...] = ()
    """What `--vocabulary` and `--phrase` prefer."""
    boost: float = 1.0
    """How strongly; 0 only writes terms as they are to be written."""
    language: str = ""
    """Whose script the words keep to; empty for any."""

    def to_json(self) -> str:
        """Return the spec as one line of JSON."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "BackendSpec":
        """Return the spec that `to_json` wrote."""
        fields = json.loads(text)
        if fields.get("durations") is not None:
            fields["durations"] = tuple(fields["durations"])
        fields["terms"] = tuple(Term(*term) for term in fields.get("terms", ()))
        return cls(**fields)

    def stated_durations(self) -> tuple[int, ...]:
        """Return the durations, never guessed: with wrong ones, words come out that look right.

        Raises `ModelUnusableError` if the spec has none.
        """
        if self.durations is None:
            raise ModelUnusableError(
                f"nothing says which durations the model in '{self.directory}' chooses from",
                "open it as `locate.stated` describes the folder",
            )
        return self.durations

    def retried(self, *, served: int, attempt: int) -> "BackendSpec":
        """Return the spec for a fresh process."""
        return self._replace(served=served, attempt=attempt)


class BackendInfo(NamedTuple):
    """What a loaded backend says of itself; for the `ready` line and `timing`."""

    backend: str
    model: str
    compute_units: str
    """What runs it: `cpu` for ONNX Runtime here."""
    runtime: str
    """`onnxruntime 1.30.0`, `coreml`, `reference` (our evaluator), `scripted`, …"""
    max_samples: int
    load_ms: int
    warm: bool | None = None
    """Of Core ML alone: False if loading took as long as it does where the Neural Engine's form of
    the model has to be compiled first."""
    form: str | None = None
    """Of the model's files: `float32` or `int8`, `mlpackage` or `mlmodelc`, `bfloat16`, …"""
    notes: tuple[tuple[str, str], ...] = ()
    """Codes and messages of warnings: terms that cannot be spelled, a lock that locks nothing."""


class Backend(Protocol):
    """Turns one window of audio into tokens.

    A backend knows nothing of microphones, silence, chunks or JSON, and keeps no memory from one
    window to the next.
    """

    @property
    def max_samples(self) -> int:
        """Longest window one call accepts, in samples at 16 kHz."""
        ...

    def transcribe(self, window: Samples, /) -> Hypothesis:
        """Transcribe one window of 1 to `max_samples` samples.

        Token times count from the window's first sample. Raises `BackendFailedError` or
        `ModelUnusableError`.
        """
        ...

    def close(self) -> None:
        """Let the model go. A second call does nothing."""
        ...


class Supervised(Backend, Protocol):
    """A backend in a process of its own, which loads while the caller goes on."""

    @property
    def restarts(self) -> int:
        """Processes started after the first one."""
        ...

    def wait_ready(self) -> BackendInfo:
        """Wait until the model is loaded and return what it says of itself.

        Raises `ModelMissingError`, `ModelCorruptError` or `ModelUnusableError`, as every later call
        does then, and `BackendFailedError` if the process was killed or closed.
        """
        ...

    def speculate(self, window: Samples, /) -> Hypothesis:
        """Transcribe a window that nobody may need, as `transcribe` does.

        A process that breaks over it is replaced, which counts as no restart; raises
        `BackendFailedError` then, or what `wait_ready` raises.
        """
        ...

    def abandon(self) -> None:
        """End the process that is busy with a speculation, from any thread."""
        ...

    def kill(self) -> None:
        """End the process at once and for good, from any thread.

        A call that waits for it raises `BackendFailedError`. `close` is still needed.
        """
        ...
