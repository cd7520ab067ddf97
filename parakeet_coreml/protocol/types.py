"""What every line a recording writes may hold: the one table of types.

`json_lines` builds its lines as these types, which mypy checks; `schema` prints them for hosts.
"""

from typing import Annotated, Literal, NotRequired, TypedDict

from parakeet_coreml.errors import ParakeetError

ERRORS = (ParakeetError.name, *(kind.name for kind in ParakeetError.__subclasses__()))
"""Names an error line may carry."""

WARNINGS = (
    "capture_stall",
    "clock_drift",
    "device_opening",
    "device_reopened",
    "input_left",
    "input_overflow",
    "language",
    "long_file",
    "mic_silent",
    "model_loading",
    "nan_samples",
    "no_words",
    "other_device",
    "partial_sample",
    "script_drift",
    "short_file",
    "stdin_closed",
    "unknown_command",
    "vocabulary",
    "worker_restarted",
)
"""Names a warning line may carry."""

REASONS = (
    *("stop", "stdin_eof", "sigint", "sigterm", "sighup", "sigalrm"),
    *("max_seconds", "auto_stop", "end_of_input", "host_gone", "cancel"),
)
"""What ends a recording that nothing went wrong with."""

# In `Annotated`, text is the description and a dictionary is more of JSON Schema.
Count = Annotated[int, {"minimum": 0}]
Time = Annotated[int, {"minimum": 0}, "Milliseconds of audio since the first captured sample."]
Share = Annotated[float, {"minimum": 0, "maximum": 1}, "Mean token probability; uncalibrated."]
Milliseconds = Annotated[float, {"minimum": 0}]
Decibels = Annotated[float, {"minimum": -120}]
Silent = Annotated[bool, "True where only digital zeros came for 1.5 s: muted, or no permission."]
Warm = Annotated[bool, "With Core ML on a Mac: false if the model had to be compiled first."]


class TimedWord(TypedDict):
    """A word of a chunk, with --words."""

    text: str
    start_ms: Time
    end_ms: Time
    confidence: Share


class WrittenTerm(TypedDict):
    """A term of --vocabulary or --phrase among the words of a chunk, with --meta."""

    text: str
    start_ms: Time
    end_ms: Time


class ChunkLine(TypedDict):
    """The words that became certain with one window. They never change; silent windows too."""

    type: Literal["chunk"]
    index: Annotated[Count, "0 for the first, without a gap."]
    text: Annotated[str, "Words joined by one space; empty for silence."]
    confidence: Annotated[Share, "Mean token probability, 0 without words; uncalibrated."]
    elapsed_ms: Annotated[Count, "Decoding time behind this line."]
    start_ms: NotRequired[Annotated[Time, "With --meta: where its audio starts."]]
    end_ms: NotRequired[Annotated[Time, "With --meta: where its audio ends."]]
    terms: NotRequired[
        Annotated[list[WrittenTerm], "With --meta and terms to prefer: those among the words."]
    ]
    words: NotRequired[
        Annotated[list[TimedWord], "With --words; left out where the line would pass 64 KiB."]
    ]


class ErrorLine(TypedDict):
    """A failure, reported at once. Chunks for what was captured before may follow, then `done`."""

    type: Literal["error"]
    code: Annotated[str, {"examples": [*ERRORS]}, "Stable; more may be added."]
    message: Annotated[str, "What happened, for people; may be reworded."]
    hint: Annotated[str, "What to do next, for people; may be empty."]


class Account(TypedDict, total=False):
    """Samples at 16 kHz: captured = transcribed + silent + lost. Empty if nothing was captured."""

    captured: Count
    transcribed: Count
    silent: Count
    lost: Count


class DoneLine(TypedDict):
    """The last line, always."""

    type: Literal["done"]
    totalChunks: Annotated[Count, "Number of chunk lines."]
    full_text: Annotated[str, "The chunk texts joined by one space, empty ones skipped."]
    backend: NotRequired[Annotated[str | None, "With --meta."]]
    model: NotRequired[Annotated[str | None, "With --meta."]]
    stop_reason: NotRequired[
        Annotated[
            str,
            {"examples": [*REASONS]},
            "With --meta: what ended the recording, or the code of the error that did.",
        ]
    ]
    audio_ms: NotRequired[Annotated[Count, "With --meta: milliseconds captured."]]
    samples: NotRequired[Annotated[Account, "With --meta."]]


class HelloLine(TypedDict):
    """The first line, with --events hello: who speaks."""

    type: Literal["hello"]
    schema: Annotated[Literal[1], "Within it types and keys are only added."]
    version: str
    pid: Count
    features: Annotated[list[str], "Look here instead of comparing versions."]


class Device(TypedDict):
    """The microphone, or the file that stands for it."""

    name: str
    sample_rate: Annotated[Count, "Hz, as captured."]


class CaptureReadyLine(TypedDict):
    """With --events ready: sound arrives, so a host can say that it listens."""

    type: Literal["ready"]
    what: Literal["capture"]
    t_ms: Annotated[Time, "Milliseconds of digital zeros before it, which a device may wake with."]
    device: Device
    silent: NotRequired[Silent]


class ModelReadyLine(TypedDict):
    """With --events ready: the model is loaded; what was spoken before is not lost."""

    type: Literal["ready"]
    what: Literal["model"]
    backend: str
    model: str
    compute_units: str
    runtime: str
    load_ms: Count
    warm: NotRequired[Warm]


class LevelLine(TypedDict):
    """With --events level: ten a second, fewer for a slow reader."""

    type: Literal["level"]
    t_ms: Time
    rms_db: Annotated[Decibels, "dB of full scale; -120 is digital silence."]
    peak_db: Decibels
    clipping: bool


class SpeechLine(TypedDict):
    """With --events speech: where speech starts and ends, by its loudness."""

    type: Literal["speech"]
    state: Literal["start", "end"]
    t_ms: Time


class PartialLine(TypedDict):
    """With --events partial: a preview that may still change; replace it, never append it."""

    type: Literal["partial"]
    index: Annotated[Count, "The chunk it will become part of."]
    text: Annotated[str, "All words since the last chunk line."]
    stable: Annotated[str, "The part of it, from its start, that will probably stay: a forecast."]
    t_ms: Annotated[Time, "Up to where it was listened to."]


class StateLine(TypedDict):
    """With --events state: the microphone was let go, or records again, as the host asked."""

    type: Literal["state"]
    state: Literal["paused", "recording"]
    t_ms: Time
    silent: NotRequired[Silent]


class WarningLine(TypedDict):
    """With --events warning: something to know that ends nothing."""

    type: Literal["warning"]
    code: Annotated[str, {"examples": [*WARNINGS]}, "Stable; more may be added."]
    message: Annotated[str, "For people; may be reworded."]


class Figures(TypedDict):
    """What windows cost; a stage that could not be measured is absent."""

    audio_ms: Milliseconds
    waiting_ms: NotRequired[Annotated[Milliseconds, "From its cutting until it was begun."]]
    elapsed_ms: Annotated[Milliseconds, "Decoding, retries and the way to the backend included."]
    features_ms: NotRequired[Annotated[Milliseconds, "Absent too where the encoder's are one."]]
    encoder_ms: NotRequired[Milliseconds]
    search_ms: NotRequired[Annotated[Milliseconds, "Predictor and joint network included."]]
    tokens: Count
    predictor_calls: NotRequired[Count]
    joint_calls: NotRequired[Count]
    retries: Annotated[Count, "Further attempts at it."]


class WindowPlace(TypedDict):
    """Which window it is."""

    type: Literal["window"]
    index: Annotated[Count, "0 for the first; windows are not lines."]
    begun_ms: NotRequired[
        Annotated[
            float, "When it was begun, since the program's first instruction; absent if ahead."
        ]
    ]
    start_ms: Time
    end_ms: Time


class WindowLine(WindowPlace, Figures):
    """With --events window: what one window cost, when it is decoded."""

    ahead: Annotated[bool, "It was decoded before it had to be, while nothing else waited."]


class WindowSums(Figures):
    """The figures of all windows, added up."""

    windows: Count
    ahead: Annotated[Count, "Windows that were decoded before they had to be."]


class TimingLine(TypedDict):
    """With --events timing, just before `done`: when each stage was reached, at what cost."""

    type: Literal["timing"]
    backend: NotRequired[str]
    model: NotRequired[str]
    compute_units: NotRequired[str]
    runtime: NotRequired[str]
    load_ms: NotRequired[Count]
    warm: NotRequired[Annotated[bool, "Nothing had to be compiled first; always where it loaded."]]
    form: NotRequired[Annotated[str, "Of the model's files: float32, int8, mlpackage, …"]]
    epoch_ms: Annotated[float, "Unix time of the program's first instruction."]
    stages: Annotated[
        dict[str, int],
        "Milliseconds since the program's first instruction; `key_ms`, of --t0, is before it.",
    ]
    windows: NotRequired[WindowSums]
    restarts: Annotated[Count, "How often the backend's process was started again."]


LINES = (
    *(ChunkLine, ErrorLine, DoneLine),
    *(HelloLine, CaptureReadyLine, ModelReadyLine),
    *(LevelLine, SpeechLine, PartialLine, StateLine, WarningLine, WindowLine, TimingLine),
)
"""Every line there is; the first three come without being asked for."""

PARTS = (TimedWord, WrittenTerm, Account, Device, WindowSums)
"""What lines are made of."""
