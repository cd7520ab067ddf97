"""The host's descriptors, also as a Mac has them: polled, written to, and left by their readers."""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from parakeet_coreml.host import leave, stdio, watch

MAC_PIPE_BUF = 512
"""What a pipe on a Mac takes without blocking; 4096 on Linux."""

READY = select.POLLIN | select.POLLOUT

REAL_POLL, REAL_WRITE = select.poll, os.write


class MacPoll:
    """A poll that reports a hang-up only where a readiness was asked for, as xnu's does."""

    def __init__(self) -> None:
        self._real = REAL_POLL()
        self._asked: dict[int, int] = {}

    def register(self, fd: int, events: int) -> None:
        self._asked[fd] = events
        self._real.register(fd, events)

    def unregister(self, fd: int) -> None:
        del self._asked[fd]
        self._real.unregister(fd)

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return [(fd, event) for fd, event in self._real.poll(timeout) if self._asked[fd] & READY]


class NullPoll(MacPoll):
    """A poll of `/dev/null` there: not a descriptor to wait for."""

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return [(fd, select.POLLNVAL) for fd in self._asked]


def pipe() -> tuple[int, int]:
    return os.pipe()


def socketpair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return theirs.detach(), ours.detach()


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "poll", MacPoll)
    monkeypatch.setattr(select, "PIPE_BUF", MAC_PIPE_BUF)


@pytest.fixture
def kept_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in leave.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kind", [pipe, socketpair])
def test_on_a_mac_a_reader_that_goes_is_noticed(kind: Any, mac: None) -> None:
    reader, writer = kind()
    assert not watch._reader_gone(writer)
    os.close(reader)
    assert watch._reader_gone(writer)
    os.close(writer)


def test_on_a_mac_what_reads_everything_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "poll", NullPoll)
    null = os.open(os.devnull, os.O_WRONLY)
    assert not watch._reader_gone(null)
    os.close(null)


def test_a_full_pipe_has_a_reader(mac: None) -> None:
    reader, writer = pipe()
    fill(writer)
    assert not watch._reader_gone(writer)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("kind", [pipe, socketpair])
def test_on_a_mac_the_watch_tells_of_a_reader_that_goes_once(
    kind: Any, mac: None, kept_signals: None
) -> None:
    reader, writer = kind()
    lost: list[str] = []
    laps: list[bool] = []
    finished = threading.Event()
    host = watch.Host(
        on_stop=lambda _: None,
        on_abort=lambda _: None,
        on_lost=lambda: lost.append("lost"),
        on_odd=lambda *_: None,
        commands={},
    )

    def each() -> None:
        laps.append(bool(lost))
        if len(laps) == 3:
            os.close(reader)
        if len(laps) == 10:
            finished.set()
        host.wake()

    host.watch(finished, stdout=writer, commands=False, each=each)
    os.close(writer)
    assert laps == [False] * 3 + [True] * 7
    assert lost == ["lost"]


# stderr


def fill(writer: int) -> None:
    """Leave no room in a pipe."""
    os.set_blocking(writer, False)
    while select.select([], [writer], [], 0)[1]:
        REAL_WRITE(writer, b"x" * MAC_PIPE_BUF)
    os.set_blocking(writer, True)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Give both ends of the pipe that stands for stderr."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setattr(stdio, "_stderr", lambda: writer)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_on_a_mac_a_long_message_is_whole(
    mac: None, stderr: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def write(fd: int, data: bytes) -> int:
        sizes.append(len(data))
        return REAL_WRITE(fd, data)

    monkeypatch.setattr(os, "write", write)
    message = "the model is damaged; " * 60 + "run: parakeet-coreml models download"
    stdio.say(message)
    assert os.read(stderr[0], 1 << 16).decode() == message + "\n"
    assert max(sizes) <= MAC_PIPE_BUF, "more than this may block though poll says it can be written"


@pytest.mark.timeout(20)
def test_a_full_stderr_holds_up_nobody(mac: None, stderr: tuple[int, int]) -> None:
    fill(stderr[1])
    stdio.say("this finds no room")
    assert set(os.read(stderr[0], 1 << 20)) == set(b"x")


def test_a_stderr_that_nobody_reads_any_more_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(stdio, "_stderr", lambda: writer)
    stdio.say("nobody reads this")
    os.close(writer)


@pytest.mark.parametrize("acts", ["\x1b[2J", "\x9b2J", "\x07", "\x00", "\u202e", "\r"])
def test_nothing_on_stderr_acts_on_a_terminal(acts: str, stderr: tuple[int, int]) -> None:
    stdio.say(f"Desk{acts}Mic")
    said = os.read(stderr[0], 4096).decode()
    assert acts not in said
    assert said.startswith("Desk")
    assert said.endswith("Mic\n")
