"""Where the system gives no more of something: told in words, `done` last, the right code."""

from pathlib import Path

import pytest
from recorder import Start, patched

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
