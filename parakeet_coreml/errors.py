"""Every error a user can meet, sorted by what the user can do about it.

    ParakeetError                     name             exit code
      UsageError                      usage            2
      NoDeviceError                   no_device        10
      SilentMicrophoneError           mic_silent       11
      DeviceLostError                 device_lost      12
      OverloadError                   overload         13
      ModelMissingError               model_missing    20
      ModelCorruptError               model_corrupt    21
      ModelUnusableError              model_unusable   22
      BackendFailedError              backend_failed   23
      DownloadFailedError             download_failed  24
      OutputLostError                 output_lost      30
      StorageError                    storage          31
      DeadlineError                   deadline         40

Names and exit codes are API: hosts map them. `message` says what happened in one line, `hint`
what to do next. Programming mistakes stay `ValueError`.
"""

import errno
from typing import ClassVar


class ParakeetError(Exception):
    """Anything that ends a recording early or stops it from starting."""

    name: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ParakeetError):
    """The call cannot be carried out as it was written: option, value or input file."""

    name = "usage"
    exit_code = 2


class NoDeviceError(ParakeetError):
    """No microphone could be opened."""

    name = "no_device"
    exit_code = 10


class SilentMicrophoneError(ParakeetError):
    """The microphone gave digital zeros throughout: no permission, or muted in hardware."""

    name = "mic_silent"
    exit_code = 11


class DeviceLostError(ParakeetError):
    """The microphone went away while recording."""

    name = "device_lost"
    exit_code = 12


class OverloadError(ParakeetError):
    """Transcription fell too far behind; the recording was ended early."""

    name = "overload"
    exit_code = 13


class ModelMissingError(ParakeetError):
    """The model is not installed."""

    name = "model_missing"
    exit_code = 20


class ModelCorruptError(ParakeetError):
    """A model file is not what its manifest says."""

    name = "model_corrupt"
    exit_code = 21


class ModelUnusableError(ParakeetError):
    """The model is whole but will not load here."""

    name = "model_unusable"
    exit_code = 22


class BackendFailedError(ParakeetError):
    """A window could not be transcribed, restarts included."""

    name = "backend_failed"
    exit_code = 23


class DownloadFailedError(ParakeetError):
    """A model could not be fetched."""

    name = "download_failed"
    exit_code = 24


class OutputLostError(ParakeetError):
    """Stdout is closed, full, or nobody reads it."""

    name = "output_lost"
    exit_code = 30


class StorageError(ParakeetError):
    """A disk would not read or write."""

    name = "storage"
    exit_code = 31


class DeadlineError(ParakeetError):
    """Nothing moved any more, and the watchdog ended it."""

    name = "deadline"
    exit_code = 40


NO_MEMORY = ("there is no more memory", "close other programs, or use a smaller model")


def scarce(error: BaseException | None) -> tuple[str, str] | None:
    """Return what is to be said, and done, where the system gave no more of something."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return NO_MEMORY
    if isinstance(error, ImportError) and "failed to map segment" in str(error):  # the loader's
        return NO_MEMORY
    if number == errno.EAGAIN or (isinstance(error, RuntimeError) and "new thread" in str(error)):
        return "the system allows no more threads or processes", "see `ulimit -u`, or pids.max"
    if number in (errno.EMFILE, errno.ENFILE):
        return "the system allows no more open files", "see `ulimit -n`"
    return None
