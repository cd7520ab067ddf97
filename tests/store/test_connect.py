"""Connecting to a host of many addresses, most of which do not answer."""

import errno
import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from parakeet_coreml.store import connect

Answer = tuple[int, int, int, str, tuple[str, int]]


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            caller = stack.enter_context(closing(socket.socket()))
            caller.setblocking(False)
            caller.connect_ex(address)
        with selectors.DefaultSelector() as waiting, closing(socket.socket()) as probe:
            probe.setblocking(False)
            probe.connect_ex(address)
            waiting.register(probe, selectors.EVENT_WRITE)
            assert waiting.select(0.2) == [], "this system's queue is never full"
        yield address


@pytest.fixture
def open_port() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


def host_of(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    answers: list[Answer] = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_silent_addresses_before_the_one_that_answers_cost_no_time_limit_each(
    silent: tuple[str, int],
    open_port: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    host_of(monkeypatch, *[silent] * count, open_port)
    # Of the whole: with 5 s for each in turn, even one silent address would use it up.
    with connect.connect("hub.example", 443, timeout=5) as found:
        assert found.getpeername() == open_port


def test_nobody_left_to_answer_is_a_time_out(
    silent: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    host_of(monkeypatch, silent, silent)
    with pytest.raises(TimeoutError):
        connect.connect("hub.example", 443, timeout=0.5)


def test_a_refusal_is_not_waited_for_and_the_last_one_is_told(
    open_port: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "STAGGER", 3600.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()
        host_of(monkeypatch, closed, closed, open_port)
        connect.connect("hub.example", 443, timeout=30).close()
        host_of(monkeypatch, closed)
        with pytest.raises(ConnectionRefusedError):
            connect.connect("hub.example", 443, timeout=30)
    host_of(monkeypatch)
    with pytest.raises(OSError, match="no address") as caught:
        connect.connect("hub.example", 443, timeout=30)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_families_take_turns() -> None:
    def of(family: int, name: str) -> connect._Address:
        return connect._Address(family, socket.SOCK_STREAM, 6, name, ("", 0))

    six, four = socket.AF_INET6, socket.AF_INET
    rows = [of(six, "a"), of(six, "b"), of(six, "c"), of(four, "d"), of(four, "e")]
    assert [row.name for row in connect._in_turn(rows)] == ["a", "d", "b", "e", "c"]


def test_what_lost_the_race_is_closed(
    silent: tuple[str, int], open_port: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[socket.socket] = []
    begin = connect._begin

    def watched(address: connect._Address) -> socket.socket:
        begun.append(begin(address))
        return begun[-1]

    monkeypatch.setattr(connect, "_begin", watched)
    host_of(monkeypatch, silent, open_port)
    with connect.connect("hub.example", 443, timeout=30):
        assert [one.fileno() == -1 for one in begun] == [True, False]
