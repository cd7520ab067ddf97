"""A Node program as the host: stdout and stdin are sockets there, and it dies without a word."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pulse import PulseServer
from recorder import (
    PATIENCE,
    WORDS,
    Fields,
    command,
    eventually,
    microphones_in_use,
    processes_naming,
    spoken,
    write_script,
)
from support import requires

pytest_plugins = ("host_fixtures",)

HOST = Path(__file__).parent / "host.mjs"


class Node:
    """A running host and what it repeats."""

    def __init__(self, way: str, folder: Path, server: PulseServer) -> None:
        recording = command(
            *("progressive-record", "--backend", "scripted", "--model", write_script(folder)),
            *("--events", "hello,ready,speech,timing", "--meta"),
        )
        self.process = subprocess.Popen(
            ["node", HOST, way, *recording],
            env=server.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def told(self) -> Iterator[Fields]:
        """Yield what it tells until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, wanted: Callable[[Fields], bool]) -> None:
        assert any(wanted(fields.get("line", {})) for fields in self.told()), "it never came"

    def dispose(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def node(room: PulseServer, tmp_path: Path) -> Iterator[Callable[[str], Node]]:
    requires("Node", present=shutil.which("node") is not None)
    started: list[Node] = []

    def begin(way: str) -> Node:
        started.append(Node(way, tmp_path, room))
        return started[-1]

    yield begin
    for host in started:
        host.dispose()
    assert eventually(lambda: not processes_naming(str(tmp_path)), 9), "a process is left"


def capture_is_ready(line: Fields) -> bool:
    return line.get("type") == "ready" and line["what"] == "capture"


@pytest.mark.parametrize(
    ("way", "reason"), [("stop", "stop"), ("eof", "stdin_eof"), ("sigterm", "sigterm")]
)
def test_node_reads_lines_and_ends_it(
    way: str, reason: str, node: Callable[[str], Node], room: PulseServer
) -> None:
    host = node(way)
    host.until(capture_is_ready)
    room.mic.play(spoken(*WORDS[:2]))
    told = list(host.told())
    assert host.process.wait(PATIENCE) == 0
    assert told[-1] == {"code": 0, "signal": None}
    lines = [fields["line"] for fields in told[:-1]]
    assert [line["type"] for line in lines[-3:]] == ["chunk", "timing", "done"]
    assert lines[-1]["full_text"] == " ".join(WORDS[:2])
    assert lines[-1]["stop_reason"] == reason
    assert microphones_in_use(room) == 0


def test_nothing_survives_a_node_that_is_killed(
    node: Callable[[str], Node], room: PulseServer, tmp_path: Path
) -> None:
    host = node("die")
    pid = next(host.told())["pid"]
    host.until(capture_is_ready)
    assert microphones_in_use(room) == 1
    room.mic.play(spoken(*WORDS[:2]))
    assert host.process.wait(PATIENCE) == -9
    assert eventually(lambda: microphones_in_use(room) == 0, 3)  # promised: 1 s
    assert eventually(lambda: not psutil.pid_exists(pid), 9)  # promised: 3 s
    assert eventually(lambda: not processes_naming(str(tmp_path)), 9)
