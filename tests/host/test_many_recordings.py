"""Recordings after, beside and into one another; nothing is left of any of them."""

import os
from pathlib import Path

from pulse import PulseServer
from recorder import (
    LONG,
    WORDS,
    Recorder,
    Start,
    eventually,
    microphones_in_use,
    processes_naming,
    sound,
    spoken,
    write_wav,
)
from support import requires

pytest_plugins = ("host_fixtures",)


def entries(folder: Path) -> set[str]:
    """Return everything under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_next_recording_starts_while_the_last_one_is_still_decoded(
    start: Start, room: PulseServer
) -> None:
    watched = ("--events", "ready,speech")
    # Long enough for all that follows, also on a busy machine.
    first = start(*watched, env=room.env, script={"delay_s": 12.0})
    first.until("ready", what="model")
    room.mic.play(spoken(*WORDS[:2]))
    first.until("speech", state="end", count=2)
    first.say("stop")
    second = start(*watched, env=room.env)
    second.until("ready", what="capture")
    assert eventually(lambda: microphones_in_use(room) == 1)  # the first has let go
    room.mic.play(spoken(*WORDS[2:4]))
    second.until("speech", state="end", count=2)
    assert not first.of("done")
    second.say("stop")
    assert second.finish(0).heard == list(WORDS[2:4])
    assert first.finish(0).heard == list(WORDS[:2])


def test_four_record_at_once(start: Start, room: PulseServer) -> None:
    together = [start("--events", "ready,speech", env=room.env) for _ in range(4)]
    for recorder in together:
        recorder.until("ready", what="capture")
    room.mic.play(spoken(*WORDS[:2]))
    for recorder in together:
        recorder.until("speech", state="end", count=2)
        recorder.close_stdin()
    for recorder in together:
        assert recorder.finish(0).heard == list(WORDS[:2])
    assert microphones_in_use(room) == 0


def test_many_in_a_row_leave_nothing_behind(start: Start, tmp_path: Path) -> None:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    env = {"HOME": str(home), "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(home / "cache")}
    wav = write_wav(tmp_path / "a.wav", sound(*WORDS[:2]))
    for _ in range(1000 if LONG else 20):
        recorder = start("--input", wav, env=env, cwd=scratch).finish(0)
        assert recorder.heard == list(WORDS[:2])
    assert entries(home) | entries(scratch) == set()
    assert not processes_naming(str(tmp_path))


def test_every_early_end_leaves_nothing_behind(start: Start, two_words: Path) -> None:
    home = two_words.parent / "home"
    home.mkdir()
    env = {"HOME": str(home), "TMPDIR": str(home)}
    hanging = {"failures": {"0": {"how": "hang"}}}

    def begun() -> Recorder:
        recorder = start(
            "--input", two_words, "--realtime", "--events", "ready", script=hanging, env=env
        )
        recorder.until("ready", what="model")
        return recorder

    together = [begun() for _ in range(2)]
    together[0].say("cancel")
    together[0].finish(130)
    together[1].process.kill()
    together[1].wait()
    together[1].checked = True
    assert eventually(lambda: not processes_naming(str(home.parent)), 9)
    assert entries(home) == set()


def test_a_recorder_holds_few_descriptors_and_threads(start: Start, two_words: Path) -> None:
    requires("/proc", present=Path("/proc/self/fd").exists())
    recorder = start("--input", two_words, "--realtime", "--events", "ready,speech")
    recorder.until("speech", state="end", count=2)
    assert len(os.listdir(f"/proc/{recorder.pid}/fd")) <= 20  # noqa: PTH208  names are enough
    worker = recorder.worker()
    inherited = {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in (0, 1, 2)}  # noqa: PTH115
    assert all(name.startswith("pipe:") for name in inherited)
    assert not any("sound" in os.readlink(path) for path in map(str, links(worker)))  # noqa: PTH115
    recorder.say("stop")
    recorder.finish(0)


def links(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())
