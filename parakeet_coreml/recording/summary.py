"""What the last lines say of a recording. Imports nothing heavy."""

import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from parakeet_coreml import lastwords
from parakeet_coreml.audio.onset import Onset
from parakeet_coreml.audio.samples import SAMPLE_RATE, to_ms
from parakeet_coreml.audio.source import Source
from parakeet_coreml.backends.base import BackendInfo, BackendSpec, Supervised, Work
from parakeet_coreml.errors import ParakeetError, SilentMicrophoneError
from parakeet_coreml.protocol.json_lines import Value
from parakeet_coreml.timing import Waterfall

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    from parakeet_coreml.recognition.account import Account
    from parakeet_coreml.recognition.fallback import Decoded
    from parakeet_coreml.recognition.meter import LevelMeter

SILENT = "the microphone gives only digital silence: muted, or no permission"
MUTED = "the microphone has gone silent: only digital zeros come, as from one that is muted"

SILENT_AFTER = 3 * SAMPLE_RATE
"""Digital zeros for so long from the start mean: no permission, or muted."""

UNREAD_TOLERANCE = 0.05
"""Seconds of a file that may be left unread in silence: a rest that resampling rounds away."""


def unread(cause: str) -> str:
    """Return what stderr says of text that stdout did not take, with the system's cause, or ""."""
    return f"Error: stdout cannot be written{_told(cause)}; the rest of the text is lost"


def reader_lost(cause: str) -> str:
    """Return what stderr says of a stdout that takes no more, with the system's cause, or ""."""
    what = f"stdout cannot be written{_told(cause)}" if cause else "nobody reads stdout any more"
    return f"Error: {what}; the recording was ended"


def _told(cause: str) -> str:
    return f" ({cause})" if cause else ""


def silent(onset: Onset) -> dict[str, Value]:
    """Return what a line says of a source that has given nothing but zeros so far."""
    return {"silent": True} if onset.silent else {}


def left_of(source: Source, used: int, reason: str | None, *, live: bool) -> str:
    """Return what is to be reported of a source that was left after `used` samples; "" if nothing.

    What plays live is over when it is stopped, but a limit of seconds may come as a surprise.
    """
    limited = reason == "max_seconds"
    if reason is None or (live and not limited):
        return ""
    if source.seconds == 0:
        after = f"--max-seconds ended it after {used / SAMPLE_RATE:.1f} s"
        return f"{after}: what came then was left" if limited else ""
    if source.seconds is None:
        return "the rest of the file was left unread"
    left = source.seconds - used / SAMPLE_RATE
    return f"{left:.1f} s of the file were left unread" if left >= UNREAD_TOLERANCE else ""


def wordless(account: "Account", levels: "LevelMeter") -> str:
    """Return what is to be reported of sound that became no words; "" if nothing."""
    from parakeet_coreml.recognition.windows import length_of  # noqa: PLC0415  NumPy is there by now

    if account.missed:
        seconds = length_of(account.missed) / SAMPLE_RATE
        return f"no words were recognised in {seconds:.1f} s of sound like speech"
    if account.transcribed or account.lost or not levels.faint:
        return ""
    return f"{levels.faint:.1f} s of sound were too faint to be heard as speech: turn it up"


def meta(
    info: BackendInfo | None, spec: BackendSpec | None, account: "Account | None", reason: str
) -> dict[str, Value]:
    """Return what `--meta` adds to the last line."""
    fields = described(info)
    samples: dict[str, Value] = {}
    if account is not None:
        captured, transcribed, silent = account.captured, account.transcribed, account.silent
        # Not the pipeline's own count: it may have been left behind with windows undecoded.
        samples = {
            "captured": captured,
            "transcribed": transcribed,
            "silent": silent,
            "lost": captured - transcribed - silent,
        }
    return {
        "backend": fields.get("backend", spec.backend if spec else None),
        "model": fields.get("model", spec.model if spec else None),
        "stop_reason": reason,
        "audio_ms": to_ms(account.captured) if account is not None else 0,
        "samples": samples,
    }


def described(info: BackendInfo | None) -> dict[str, Value]:
    """Return what is reported of a loaded model; nothing before it is loaded."""
    if info is None:
        return {}
    fields: dict[str, Value] = {
        "backend": info.backend,
        "model": info.model,
        "compute_units": info.compute_units,
        "runtime": info.runtime,
        "load_ms": info.load_ms,
    }
    return fields if info.warm is None else {**fields, "warm": info.warm}


def timing(
    info: BackendInfo | None,
    spec: BackendSpec | None,
    waterfall: Waterfall,
    worker: Supervised | None,
) -> dict[str, Value]:
    """Return what the `timing` line says; nothing in it that could not be measured."""
    fields = described(info)
    if info is None:
        fields = {"backend": spec.backend, "model": spec.model} if spec is not None else {}
    else:
        # Nothing had to be compiled first where nothing ever is.
        fields["warm"] = info.warm is not False
        fields |= {"form": info.form} if info.form is not None else {}
    stages, sums = dict[str, Value](waterfall.stages()), dict[str, Value](waterfall.sums())
    windows: dict[str, Value] = {"windows": sums} if sums else {}
    epoch = round(waterfall.epoch, 1)
    restarts = worker.restarts if worker is not None else 0
    return {**fields, "epoch_ms": epoch, "stages": stages, **windows, "restarts": restarts}


def measuring(waterfall: Waterfall, event: Callable[..., None]) -> "Callable[[Decoded], None]":
    """Return what takes each decoded window: its figures are added up, and emitted where wanted."""

    def measured(decoded: "Decoded") -> None:
        figures = window(decoded)
        # What was decoded ahead of need was begun earlier; `began` is when it was asked for.
        known = decoded.began is not None and not decoded.ahead
        begun = {"begun_ms": waterfall.since(decoded.began or 0.0)} if known else {}
        waterfall.mark("last_window", again=True)
        event("window", index=waterfall.window(figures), **begun, **figures)

    return measured


def window(decoded: "Decoded") -> dict[str, int | float | bool]:
    """Return the figures of one window, those of its stages only where they were measured."""
    cut, work = decoded.window, decoded.work or Work()
    audio = len(cut.audio) / SAMPLE_RATE
    waited = None
    if decoded.began is not None and cut.ready is not None:
        waited = max(0.0, decoded.began - cut.ready)
    times = {
        "audio_ms": audio,
        "waiting_ms": waited,
        "elapsed_ms": decoded.elapsed,
        "features_ms": work.features,
        "encoder_ms": work.encoder,
        "search_ms": work.search,
    }
    calls = {"predictor_calls": work.predictor, "joint_calls": work.joint}
    return {
        "start_ms": to_ms(cut.start),
        "end_ms": to_ms(cut.stop),
        **{name: round(1000 * s, 1) for name, s in times.items() if s is not None},
        "tokens": len(decoded.hypothesis.tokens),
        **{name: count for name, count in calls.items() if count is not None},
        "retries": max(0, decoded.attempts - 1),
        "ahead": decoded.ahead,
    }


def check_microphone(account: "Account | None", levels: "LevelMeter") -> None:
    """Raise `SilentMicrophoneError` if a microphone gave nothing but zeros for `SILENT_AFTER`."""
    if account is not None and account.captured >= SILENT_AFTER and not levels.sounded:
        raise silent_microphone()


def silent_microphone() -> SilentMicrophoneError:
    """Return the error of a microphone that gave only zeros, with what to do about it."""
    hint = "check that the microphone is not muted; `parakeet-coreml devices` lists the others"
    if sys.platform == "darwin":
        hint = (
            "allow the app that started this in System Settings, Privacy & Security, Microphone; "
            "check that the microphone is not muted"
        )
    return SilentMicrophoneError("the microphone gave only digital silence", hint)


def bug(error: BaseException | None) -> ParakeetError:
    """Return the error of an exception that nobody expected; a limit of the system is named."""
    if limit := lastwords.limit_of(error):
        return ParakeetError(*limit)
    frames = traceback.extract_tb(error.__traceback__ if error is not None else None)
    where = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "?"
    message = f"internal error: {type(error).__name__} in {where}: {error}"
    return ParakeetError(message, "please report this with the command line and the version")
