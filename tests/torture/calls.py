"""The k-th call fails: what becomes of a recording, for every k?

    python tests/torture/calls.py file|microphone|worker [--runs 400] [--seed 1] [--seconds 420]
                                  [--only CALL:K[+]]

A library that is loaded before all others (`failing.c`; Linux with a C compiler) counts one kind of
call from our first module on, and lets the k-th fail, once or, for every fourth k, from then on.
`file` and `microphone` harm the recorder, `worker` the process with the model. Where there are more
calls than runs, the seed picks. The exit code is 1 if a recording broke its promise (see `harm`).
"""

import argparse
import collections
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harm import BAD, NO_MEMORY, TESTS, Run, judge, run
from pulse import RATE, PulseServer
from recorder import command, s16, sound, write_script, write_wav

CALLS = ("read", "write", "open", "malloc", "mmap", "poll", "thread", "pipe", "dup")

LANES = 2
"""Recordings at a time."""

WORDS = ("alfa", "bravo", "charlie", "delta")


@dataclass(frozen=True, slots=True)
class Case:
    """Which call fails, and whether all after it do."""

    call: str
    at: int
    more: bool

    def __str__(self) -> str:
        return f"{self.call}:{self.at}{'+' * self.more}"


class Lane:
    """One recording after another, with a folder, and a sound server where it needs one."""

    def __init__(self, what: str, library: Path, stack: ExitStack) -> None:
        self._role = "worker" if what == "worker" else "recorder"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="calls-")))
        self._seen, self._library = folder / "seen", library
        self._env = dict(os.environ)
        self._server: PulseServer | None = None
        self._played = threading.Event()
        self._played.set()
        arguments: list[str | Path] = ["--events", "ready,warning", "--meta"]
        if what == "microphone":
            self._server = stack.enter_context(PulseServer())
            self._env = dict(self._server.env)
            self._sound = s16(sound(*WORDS, rate=RATE))
        else:
            arguments += ["--input", write_wav(folder / "sound.wav", sound(*WORDS))]
        script = write_script(folder)
        self._command = command(
            "progressive-record", *arguments, "--backend", "scripted", "--model", script
        )

    def one(self, case: Case) -> tuple[Run, int, bool]:
        """Return what came of a case, how many calls there were, and whether one failed."""
        self._seen.write_bytes(bytes(88))
        env = {
            **self._env,
            "LD_PRELOAD": str(self._library),
            "PYTHONFAULTHANDLER": "1",
            "FAILING_ROLE": self._role,
            "FAILING_CALL": case.call,
            "FAILING_AT": str(case.at),
            "FAILING_MORE": str(int(case.more)),
            "FAILING_SEEN": str(self._seen),
        }
        if self._server:
            self._server.mic.drain()
            while not self._played.wait(0.01):  # what a recorder before this one did not hear
                self._server.mic.drain()
        ended = run(self._command, env=env, act=self._act)
        count, failed, given_up, whose = struct.unpack("<qqq64s", self._seen.read_bytes())
        if given_up and NO_MEMORY not in ended.errors:
            ended.errors += f"{NO_MEMORY}: said by libpulse, and muted\n"
        ended.whose = whose.rstrip(b"\0").decode()
        return ended, count, bool(failed)

    def _act(self, child: "subprocess.Popen[bytes]", line: dict[str, Any]) -> None:
        if self._server and line["type"] == "ready" and line["what"] == "capture":
            self._played = self._server.mic.play(self._sound)
            while not self._played.wait(0.1):
                if child.poll() is not None:
                    return
            time.sleep(1.0)  # what the server and the recorder hold
            assert child.stdin is not None
            child.stdin.write(b"stop\n")
            child.stdin.flush()


def library(folder: Path) -> Path:
    made = folder / "failing.so"
    source = TESTS / "torture" / "failing.c"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def cases(counts: dict[str, int], runs: int, seed: int) -> Iterator[Case]:
    """Choose cases, in an order that any beginning of is fair: every k, or what the seed picks."""
    chosen: list[Case] = []
    shares = {call: runs // len(counts) for call in counts}
    for call in sorted(counts, key=lambda call: counts[call]):
        share = min(shares[call], counts[call])
        left = [other for other in counts if counts[other] > counts[call]]
        for other in left:
            shares[other] += (shares[call] - share) // len(left)
        rng = random.Random(f"{seed} {call}")
        picked = sorted(rng.sample(range(1, counts[call] + 1), share))
        chosen += [Case(call, k, more=i % 4 == 3) for i, k in enumerate(picked)]
    random.Random(seed).shuffle(chosen)
    return iter(chosen)


@dataclass
class Tally:
    """What came of the cases so far."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    bad: int = 0
    done: int = 0

    def note(self, case: Case, ended: Run, failed: bool) -> None:
        outcome = judge(ended, words=" ".join(WORDS))
        kind = outcome.split(":", maxsplit=1)[0]
        self.done += 1
        self.counts[kind if failed else f"{kind}, nothing failed"] += 1
        if kind in {"interpreter", "library"}:
            print(f"  {case}: {outcome}", flush=True)
        if kind in BAD:
            self.bad += 1
            print(f"  --only {case}: {outcome}", flush=True)
            for line in ended.errors.strip().splitlines()[-6:]:
                print(f"      {line[:160]}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("file", "microphone", "worker"))
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=420.0)
    parser.add_argument("--only", help="one case, as a line of the output names it")
    options = parser.parse_args()
    if sys.platform != "linux" or not shutil.which("cc"):
        print("left out: needs Linux and a C compiler")
        return 0
    began, tally = time.monotonic(), Tally()
    with ExitStack() as stack:
        made = library(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="calls-"))))
        lanes = [Lane(options.what, made, stack) for _ in range(1 if options.only else LANES)]
        if options.only:
            call, _, at = options.only.partition(":")
            case = Case(call, int(at.rstrip("+")), more=at.endswith("+"))
            ended, _, failed = lanes[0].one(case)
            print(ended.errors, *(line.decode() for line in ended.lines), sep="\n")
            tally.note(case, ended, failed)
        else:
            counts = {call: lanes[0].one(Case(call, 0, more=False))[1] for call in CALLS}
            print("calls of one recording:", counts, flush=True)
            todo = cases({c: n for c, n in counts.items() if n}, options.runs, options.seed)

            def work(lane: Lane) -> None:
                for case in todo:
                    if time.monotonic() - began > options.seconds:
                        return
                    ended, _, failed = lane.one(case)
                    tally.note(case, ended, failed)

            with ThreadPoolExecutor(len(lanes)) as pool:
                list(pool.map(work, lanes))
    seconds = time.monotonic() - began
    print(f"{options.what}: {tally.done} runs, seed {options.seed}, {seconds:.0f} s")
    for outcome, count in tally.counts.most_common():
        print(f"  {outcome}: {count}")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
