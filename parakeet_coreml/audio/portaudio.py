"""PortAudio: its loading, its search for devices, and limits on both. Sole importer of sounddevice.

PortAudio can hang for ever in any call, its import included, when the audio server is wedged: every
call is made on a daemon thread, and nobody waits for one without a limit. Loads before everything
else, so nothing heavy comes in here.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from parakeet_coreml.errors import NoDeviceError, ParakeetError
from parakeet_coreml.threads import Thread

SEARCH_LIMIT = 2.0
"""Seconds that leaving waits for PortAudio's search, which takes 0.1 and may never end."""

REMIND = 5.0
"""Seconds after which, and again, a warning says that a microphone is still opening."""

_loading = threading.Lock()
_given_up = threading.Event()

_T = TypeVar("_T")


def within(
    seconds: float, action: Callable[[], _T], *, waiting: Callable[[float], None] = lambda _: None
) -> _T:
    """Run an action on a daemon thread; raise `NoDeviceError` if it does not end in time.

    `waiting` is called every `REMIND` seconds with how long it has been.
    """
    answers: list[_T | ParakeetError] = []
    done = threading.Event()

    def run() -> None:
        try:
            answers.append(action())
        except ParakeetError as error:
            answers.append(error)
        finally:
            done.set()

    stderr = _stderr()
    Thread(target=run, name="microphone-open").start()
    waited = 0.0
    while not done.wait(min(REMIND, seconds - waited)) and waited + REMIND < seconds:
        waited += REMIND
        waiting(waited)
    if not done.is_set():
        os.dup2(stderr, 2)
        _given_up.set()
        from parakeet_coreml.audio import jack  # noqa: PLC0415  rarely needed, and nothing may load early

        raise NoDeviceError(
            f"the sound system did not answer within {seconds:g} s",
            jack.unlock() or "restart the audio server, or log out and in again",
        )
    answer = answers[0]
    if isinstance(answer, ParakeetError):
        raise answer
    return answer


@functools.cache
def _stderr() -> int:
    """Return a copy of fd 2 from before `import sounddevice`.

    That points fd 2 of the whole process at /dev/null while PortAudio looks for devices, and leaves
    it so when the search hangs.
    """
    return os.dup(2)


def library() -> Any:  # noqa: ANN401  sounddevice is untyped
    """Import sounddevice, which starts PortAudio.

    Raises `NoDeviceError` where it is not installed.
    """
    try:
        with _loading:
            import sounddevice  # noqa: PLC0415  may hang, and must load on a daemon thread
    except (ImportError, OSError) as error:
        raise NoDeviceError(
            f"cannot load PortAudio: {one_line(error)}",
            "install it: libportaudio2 on Debian, portaudio elsewhere",
        ) from error
    return sounddevice


def hangs() -> bool:
    """Return whether a call was given up, which may still be inside PortAudio."""
    return _given_up.is_set()


def restart() -> None:
    """Let PortAudio look for its devices afresh: its list is from when it started.

    Every stream has to be closed. Raises sounddevice's `PortAudioError`, and `NoDeviceError` where
    PortAudio hangs.
    """
    if hangs():
        raise NoDeviceError("the sound system does not answer", "restart the audio server")
    sounddevice = library()
    with _loading:
        with contextlib.suppress(sounddevice.PortAudioError):  # it may not even run
            sounddevice._terminate()  # noqa: SLF001  there is no other way
        sounddevice._initialize()  # noqa: SLF001  likewise


def preload() -> None:
    """Let PortAudio look for its devices on a daemon thread; no microphone is opened.

    It takes most of the time up to the first sample and needs no Python meanwhile, so that the
    other imports come for nothing. What fails here fails again, and is reported, in `open`.
    """
    # What sounddevice imports itself, first and here: two threads that import at once hand the
    # interpreter to and fro, and each waits for it up to 5 ms every time.
    import platform  # noqa: F401, PLC0415  see above
    import sysconfig  # noqa: F401, PLC0415  see above
    from ctypes.util import find_library  # noqa: F401, PLC0415  all of ctypes that a bundle has

    def load() -> None:
        with contextlib.suppress(NoDeviceError):
            library()

    if sys.stderr is not None:
        # Meanwhile fd 2 is mute (see `_stderr`), and a refusal of the options must be seen.
        sys.stderr = os.fdopen(
            os.dup(_stderr()), "w", buffering=1, encoding="utf-8", errors="backslashreplace"
        )
    Thread(target=load, name="microphone-preload").start()


def settle() -> None:
    """Let PortAudio finish its search for devices before the process ends; 2 s at most. Linux.

    Who ends in the midst of it leaves a lock behind that no later program gets past: see `jack`.
    """
    if sys.platform == "linux" and not _given_up.is_set():
        _loading.acquire(timeout=SEARCH_LIMIT)  # for good: none begins any more


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
