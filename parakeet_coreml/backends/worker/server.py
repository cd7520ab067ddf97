"""The worker's side: load a backend, answer requests until fd 0 ends.

fd 0 is read by a thread that ends the process at EOF; answers go to a private copy of fd 1, and
fd 1 itself becomes stderr, because libraries print there.
"""

import errno
import os
import queue
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import NoReturn

from parakeet_coreml.backends.base import Backend, BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.backends.worker.wire import (
    REQUEST,
    SHIELDED,
    fields_of,
    fields_of_tokens,
    fields_of_work,
    framed,
)
from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.lastwords import limit_of
from parakeet_coreml.threads import Thread

LONGEST = 1_800
"""Seconds after which the kernel ends a worker that is stuck in one call. Its recorder does so much
earlier; this is for one that is gone, when the call holds the GIL and no thread sees the pipe end.
"""


def serve(argument: str) -> NoReturn:
    """Be the worker: load the backend of the spec in `argument`, answer requests until fd 0 ends.

    A `ParakeetError` is answered; any other exception ends the process with a traceback, or a line
    of what was missing, and code 1, and the recorder starts it again.
    """
    answers = _claim_stdout()
    _set_signals()
    sys.excepthook = _die
    requests: queue.SimpleQueue[tuple[int, bytearray]] = queue.SimpleQueue()
    Thread(target=_read_requests, args=(requests,)).start()
    signal.alarm(LONGEST)
    try:
        backend, info = open_backend(BackendSpec.from_json(argument))
    except ParakeetError as error:
        _answer(answers, {"failed": fields_of(error)})
    else:
        _answer(answers, {"ready": info._asdict()})
        while True:
            signal.alarm(0)
            request = requests.get()
            signal.alarm(LONGEST)
            _answer(answers, _served(backend, *request))
    os._exit(0)


def _claim_stdout() -> int:
    """Return a private copy of fd 1, and turn fd 1 to stderr: libraries print there."""
    try:
        os.fstat(2)
    except OSError:  # the host closed it; the copy below must not become fd 2
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _set_signals() -> None:
    for number in (*SHIELDED, signal.SIGPIPE):  # a host that closes stderr must not end us
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SHIELDED, signal.SIGALRM))


def _die(_kind: type[BaseException], error: BaseException, _trace: object) -> NoReturn:
    """Print the traceback and leave at once: a runtime's own teardown can hang.

    Where the system gave no more of something, that is said instead.
    """
    if limit := limit_of(error):
        sys.stderr.write(f"the worker failed: {limit[0]}\n")
    else:
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


def _read_requests(requests: "queue.SimpleQueue[tuple[int, bytearray]]") -> NoReturn:
    """Queue what comes on fd 0, and end the process with it, whatever the main thread does."""
    try:
        while header := _read(REQUEST.size):
            seq, samples = REQUEST.unpack(header)
            requests.put((seq, _read(4 * samples)))
    finally:
        os._exit(0)


def _read(size: int) -> bytearray:
    """Return `size` bytes of fd 0; raises `EOFError` if it ends before."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(0, [rest])
        if not count:
            raise EOFError
        rest = rest[count:]
    return data


def _served(backend: Backend, seq: int, audio: bytearray) -> dict[str, object]:
    import numpy as np  # noqa: PLC0415  the signals are set before it loads

    try:
        hypothesis = backend.transcribe(np.frombuffer(audio, dtype="<f4"))
    except ParakeetError as error:
        return {"seq": seq, "error": fields_of(error)}
    return {"seq": seq, "tokens": fields_of_tokens(hypothesis), **fields_of_work(hypothesis)}


def _answer(fd: int, fields: Mapping[str, object]) -> None:
    rest = memoryview(framed(fields))
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        os._exit(0)  # the recorder is gone
