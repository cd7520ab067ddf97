"""SIGKILL at any moment: of the worker, whose words come all the same, and of the recorder.

    python tests/torture/kills.py [--workers 60] [--recorders 60] [--seed 1] [--seconds 300]

The seed picks the moments. A recorder whose worker is killed, up to twice for a window, gives the
same words. Of a recorder that is killed nothing is left: no worker, no file in the temporary
folder, none of its own in /dev/shm. PortAudio's search for JACK may leave its table locked, which
the recording after them must clear away (`audio.jack`). The exit code is 1 if any of it is not so.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from harm import Run, judge, run
from pulse import PulseServer
from recorder import (
    WORDS,
    command,
    eventually,
    processes_naming,
    sound,
    write_script,
    write_wav,
)

SHARED = Path("/dev/shm")  # noqa: S108  of Linux; elsewhere there is none

GONE = 5.0
"""Seconds in which a worker must follow its recorder, however busy the machine."""


def held_by(pid: int) -> set[Path]:
    """Return the files in shared memory that a process has open or mapped; Linux alone has any."""
    held: set[Path] = set()
    with contextlib.suppress(OSError):  # it may be gone
        maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        held.update(Path(line[line.index("/") :]) for line in maps if f" {SHARED}/" in line)
    with contextlib.suppress(OSError):
        held.update(fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir())
    return {path for path in held if path.parent == SHARED}


def left_by(held: set[Path], folder: Path) -> set[str]:
    """Return what lies in the temporary folder, and what is left of what was held.

    Other programs put files into shared memory, too.
    """
    return {path.name for path in (*folder.iterdir(), *held) if path.exists()}


def killed_worker(arguments: list[str], env: dict[str, str], moments: list[float]) -> Run:
    """Record while the worker of the moment is killed at each of these seconds."""

    def began(child: "subprocess.Popen[bytes]") -> None:
        def kill() -> None:
            start = time.monotonic()
            for moment in moments:
                time.sleep(max(0.0, start + moment - time.monotonic()))
                subprocess.run(["pkill", "-KILL", "-P", str(child.pid)], check=False)

        threading.Thread(target=kill, daemon=True).start()

    return run(arguments, env=env, began=began)


def workers(count: int, rng: random.Random, until: float) -> int:
    """Kill workers; return how many recordings were not as before."""
    bad = done = hit = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as made:
        folder = Path(made)
        words = WORDS[:10]
        file = write_wav(folder / "sound.wav", sound(*words))
        script = write_script(folder, delay_s=0.3)
        arguments = command(
            *("progressive-record", "--input", file, "--chunk-seconds", "5", "--events", "warning"),
            *("--backend", "scripted", "--model", script),
        )
        while done < count and time.monotonic() < until:
            moments = sorted(rng.uniform(0.1, 3.0) for _ in range(rng.randint(1, 2)))
            ended = killed_worker(arguments, dict(os.environ), moments)
            outcome = judge(ended, words=" ".join(words))
            done += 1
            hit += any(b"worker_restarted" in line for line in ended.lines)
            if outcome != "whole":
                bad += 1
                print(f"  worker killed at {moments}: {outcome}", flush=True)
    print(f"worker killed: {done} recordings, {hit} restarted one, {done - bad} with all words")
    return bad


def recorders(count: int, rng: random.Random, until: float) -> int:
    """Kill recorders at the microphone; return how many left something."""
    bad = done = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        server = stack.enter_context(PulseServer())
        script = write_script(folder)
        env = {**server.env, "TMPDIR": str(folder)}
        arguments = command("progressive-record", "--backend", "scripted", "--model", script)
        before = left_by(set(), folder)
        while done < count and time.monotonic() < until:
            moment = rng.uniform(0.0, 3.0)
            child = subprocess.Popen(
                arguments,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(moment)
            child.send_signal(signal.SIGSTOP)
            held = held_by(child.pid)
            child.kill()
            child.communicate()
            done += 1
            gone = eventually(lambda: not processes_naming(str(script)), GONE)
            left = sorted(left_by(held, folder) - before)
            if left or not gone:
                bad += 1
                print(f"  recorder killed at {moment:.2f} s: left {left}, worker gone: {gone}")
        last = run([*arguments, "--max-seconds", "0.5"], env=env)
        if judge(last, words="") != "whole":
            bad += 1
            print(f"  the recording after them: {judge(last, words='')}\n{last.errors}")
    print(f"recorder killed: {done}, {done - bad} left nothing, and the next one recorded")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=60)
    parser.add_argument("--recorders", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    bad = workers(options.workers, rng, began + options.seconds / 2)
    bad += recorders(options.recorders, rng, began + options.seconds)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
