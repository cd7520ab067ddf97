"""Where the system gives no more of something: told in words, `done` last, the right code."""

import errno
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
from recorder import PATIENCE, Start, patched
from support import requires

from parakeet_coreml import lastwords, threads
from parakeet_coreml.host.writer import Writer

pytest_plugins = ("host_fixtures",)

NO_THREADS = """
import threading
real, left = threading.Thread.start, [{left}]
def start(self):
    left[0] -= 1
    if left[0] < 0:
        raise RuntimeError("can't start new thread")
    real(self)
threading.Thread.start = start
"""


@pytest.mark.parametrize("left", range(8))
def test_no_more_threads_is_told_whichever_is_missing(
    start: Start, two_words: Path, tmp_path: Path, left: int
) -> None:
    wrap = patched(tmp_path, NO_THREADS.format(left=left))
    recorder = start("--input", two_words, "--max-seconds", "3", wrap=wrap)
    code = recorder.wait()
    recorder.checked = True
    assert "Traceback" not in recorder.stderr
    assert recorder.done["type"] == "done"
    assert recorder.lines[-1].fields["type"] == "done"
    if code:
        assert code == 1
        assert "allows no more threads" in recorder.of("error")[0]["message"]
    else:
        assert len(recorder.heard) == 2  # every thread that it needs was there


@pytest.mark.parametrize("megabytes", [60, 100, 200, 270, 330, 400])
@pytest.mark.skipif(sys.platform != "linux", reason="no other system keeps to RLIMIT_AS")
def test_a_small_address_space_is_told_in_words(
    start: Start, two_words: Path, megabytes: int
) -> None:
    wrap = f'ulimit -v {megabytes << 10}; exec "$@"'
    recorder = start("--input", two_words, "--max-seconds", "3", wrap=wrap)
    code = recorder.wait()
    recorder.finish(code)
    assert code in ({1} if megabytes < 256 else {0, 1, 22, 23})
    if megabytes < 256:
        (error,) = recorder.of("error")
        assert f"limited to {megabytes} MB" in error["message"]
        assert recorder.stderr.count("\n") == 2  # what, and what to do
    elif code == 1:
        assert "internal error" not in recorder.of("error")[0]["message"]


def few(processes: int) -> str:
    """Return a `wrap` that runs the command as a user of its own who may have so many threads.

    The files of the tests are root's, hence the one privilege; the limit does not hold for root.
    """
    requires("setpriv", present=shutil.which("setpriv") is not None)
    requires("prlimit", present=shutil.which("prlimit") is not None)
    requires("root", present=os.geteuid() == 0)
    user = 1_800_000 + os.getpid() % 100_000
    setpriv = f"setpriv --reuid {user} --regid {user} --clear-groups"
    may = "--inh-caps +dac_override --ambient-caps +dac_override"
    return f'exec {setpriv} {may} prlimit --nproc={processes} "$@"'


@pytest.mark.parametrize(
    ("input_", "processes"),
    [*(("file", most) for most in (2, 3, 4, 5, 6, 8)), *(("mic", most) for most in (3, 5, 7, 9))],
)
def test_a_real_limit_of_threads_is_told_in_words(
    start: Start, two_words: Path, room_env: dict[str, str], input_: str, processes: int
) -> None:
    source = ("--input", two_words) if input_ == "file" else ()
    recorder = start(*source, "--max-seconds", "2", env=room_env, wrap=few(processes))
    code = recorder.wait()
    recorder.finish(code)
    assert code in {0, 1, 10, 22, 23}
    if code:
        assert recorder.of("error")[0]["message"]
    if code == 1:
        assert "allows no more threads or processes" in recorder.of("error")[0]["message"]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("MemoryError()", "no more memory"),
        ("OSError(24, 'Too many open files')", "no more open files"),
        ("BlockingIOError(11, 'try again')", "no more threads or processes"),
        ("KeyError('x')", "internal error: KeyError in"),
    ],
)
def test_a_bug_on_the_main_thread_is_an_error_and_done(
    start: Start, two_words: Path, tmp_path: Path, raised: str, said: str
) -> None:
    change = (
        f"session.Recording._check = lambda self: self._moved > 0 and exec('raise {raised}')"
    ).replace("'Too many open files'", '"Too many open files"')
    change = change.replace("'try again'", '"try again"').replace("'x'", '"x"')
    recorder = start("--input", two_words, "--realtime", wrap=patched(tmp_path, change))
    recorder.finish(1)
    assert said in recorder.of("error")[0]["message"]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("MemoryError()", "there is no more memory"),
        ('OSError(24, "Too many open files")', "the system allows no more open files"),
        ('KeyError("x")', "internal error: it could not go on"),
    ],
)
def test_a_recording_that_cannot_even_begin_says_so_and_done(
    start: Start, two_words: Path, tmp_path: Path, raised: str, said: str
) -> None:
    change = f"session.Recording.__init__ = lambda *_: exec('raise {raised}')"
    recorder = start("--input", two_words, wrap=patched(tmp_path, change))
    assert recorder.wait() == 1
    recorder.checked = True
    assert [line.fields["type"] for line in recorder.lines] == ["error", "done"]
    assert recorder.of("error")[0]["message"] == said
    assert ("Traceback" in recorder.stderr) == ("KeyError" in raised)  # a bug's is wanted


def test_without_a_recording_a_limit_is_told_to_people_alone(
    start: Start, two_words: Path, tmp_path: Path
) -> None:
    change = "session.Recording.__init__ = lambda *_: exec('raise MemoryError')"
    recorder = start(
        "--input", two_words, "--format", "text", wrap=patched(tmp_path, change), text=True
    )
    recorder.finish(1)
    assert recorder.raw == b""
    assert "Error: there is no more memory" in recorder.stderr


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (OSError(errno.ENOMEM, "no room"), "memory"),
        (RuntimeError("can't allocate lock"), "memory"),
        (RuntimeError("can't allocate read lock"), "memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (OSError(errno.EMFILE, "too many"), "files"),
        (RuntimeError("can't open"), ""),
        (KeyError("x"), ""),
    ],
)
def test_a_limit_of_the_system_is_known_by_its_error(error: BaseException, what: str) -> None:
    assert lastwords.limit_of(error) == (lastwords.ENDS[what] if what else None)


NO_WORDS_LEFT = """
def fails(*_, **__):
    raise MemoryError
session.Recording._check = fails
session.Recording._write_done = fails
"""


def test_what_was_heard_is_in_the_last_line_though_none_can_be_made_any_more(
    start: Start, tmp_path: Path, speech: Path
) -> None:
    change = NO_WORDS_LEFT.replace(
        "_check = fails", "_check = lambda self: self._index and fails()"
    )
    recorder = start("--input", speech, wrap=patched(tmp_path, change))
    assert recorder.wait() == 1
    recorder.checked = True
    kinds = [line.fields["type"] for line in recorder.lines]
    assert kinds[-1] == "done"
    assert kinds.count("error") == kinds.count("done") == 1
    assert recorder.done["totalChunks"] == kinds.count("chunk") >= 1
    assert recorder.heard[0] == "alfa"


def test_a_thread_that_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE", 0.05)
    made: list[threading.Thread] = [
        threads.Thread(target=lambda: None),
        threads.Timer(0.0, lambda: None),
    ]
    for thread in made:
        monkeypatch.setattr(thread, "_bootstrap", lambda: None)  # as one without memory
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()


def test_lines_of_a_writer_whose_thread_died_are_written_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    writer, died = Writer(writing, on_lost=lambda: None), threading.Event()
    real = writer._write

    def fails() -> bool:
        raise MemoryError

    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())
    monkeypatch.setattr(writer, "_write", fails)
    writer.put(b"one\n")
    assert died.wait(PATIENCE)
    monkeypatch.setattr(writer, "_write", real)
    writer.put(b"two\n")
    writer.rescue(PATIENCE)
    assert writer.flush(PATIENCE)
    assert os.read(reading, 100) == b"one\ntwo\n"
    os.close(reading)
    os.close(writing)


def test_a_writer_without_a_thread_waits_for_nobody_longer_than_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reading, writing = os.pipe()
    monkeypatch.setattr(threads.Thread, "start", none)
    writer = Writer(writing, on_lost=lambda: None)
    lines = [b"%d" % number * 100_000 + b"\n" for number in range(5)]
    assert [writer.put(line) for line in lines] == [True] * len(lines)
    assert not writer.flush(0.1)  # nobody reads
    assert [writer.put(b"", droppable=True) for _ in range(20)][-1] is False
    assert not writer.lost
    monkeypatch.undo()
    taken = bytearray()

    def reads() -> None:
        while len(taken) < sum(map(len, lines)):
            taken.extend(os.read(reading, 1 << 16))

    reader = threading.Thread(target=reads)
    reader.start()
    assert writer.flush(PATIENCE)
    reader.join(PATIENCE)
    assert bytes(taken) == b"".join(lines)
    os.close(reading)
    assert not writer.put(b"nobody reads any more\n")
    assert writer.lost
    os.close(writing)
