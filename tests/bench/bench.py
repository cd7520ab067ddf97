"""Print the table of docs/BENCHMARKS.md for this machine, each figure with its floor beside it.

    python tests/bench/bench.py [--quick] [NAME …]

With PARAKEET_BIN=dist/parakeet-coreml/parakeet-coreml they are those of the frozen program. Ratios
within one run count; absolute figures name the machine. Nothing else should run meanwhile.
"""

import argparse
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

# Before anything imports it: onnx-asr does too.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# A user's machine compiles our modules once; with this set they would be compiled at every start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import onnx_asr
import soundfile
from pulse import PulseServer

from parakeet_coreml.audio.samples import MODEL_WINDOW
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.store.locate import stated

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
TINY_FOLDER = ROOT / "parakeet_coreml" / "tiny_en"
BUNDLE = os.environ.get("PARAKEET_BIN")
PROGRAM = [BUNDLE] if BUNDLE else [sys.executable, "-P", "-m", "parakeet_coreml"]
RECORD = [*PROGRAM, "progressive-record"]
TINY = ["--model", "tiny-en", "--backend", "onnx"]

FLOOR = """
import sounddevice as sd, os
rate = round(sd.query_devices(kind="input")["default_samplerate"])
stream = sd.RawInputStream(samplerate=rate, channels=1, dtype="float32", latency=0.5)
stream.start()
os.write(1, b"capture\\n")
os._exit(0)
"""

READER = """
import sounddevice as sd, time
rate = round(sd.query_devices(kind="input")["default_samplerate"])
stream = sd.RawInputStream(samplerate=rate, channels=1, dtype="float32", latency=0.5)
stream.start()
while True:
    time.sleep(0.2)
    if count := stream.read_available:
        stream.read(count)
"""

SESSION = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort
for path in sys.argv[1:]:
    ort.InferenceSession(path)
os._exit(0)
"""


def main() -> None:
    """Run the benchmarks asked for, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few runs, short inputs")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHES)}")
    arguments = parser.parse_args()
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line),
        platform.processor(),
    )
    today = dt.datetime.now(dt.UTC).date().isoformat()
    print(f"{today}, {os.cpu_count()} cores of {cpu}, {platform.system()}, ", end="")
    print(f"Python {platform.python_version()}, {'frozen' if BUNDLE else 'from source'}\n")
    print("| | median (p95) | floor beside it | ratio |")
    print("|---|--:|--:|--:|")
    for name in arguments.names or BENCHES:
        BENCHES[name](arguments.quick)


def bench_version(quick: bool) -> None:
    """`--version` against a bare interpreter: what starting costs before there is any work."""
    floor, ours = [], []
    for _ in range(5 if quick else 30):
        floor.append(_took([sys.executable, "-c", "pass"]))
        ours.append(_took([*PROGRAM, "--version"]))
    _row("`--version`", ours, "bare interpreter", floor)


def bench_start(quick: bool) -> None:
    """Spawn to capture running, against a bare interpreter that opens a PortAudio stream."""
    runs = 5 if quick else 30
    floor, ours, first = [], [], []
    with _script({"windows": []}) as script, PulseServer() as pulse:
        base = [*RECORD, "--backend", "scripted", "--model", script]
        command = [*base, "--events", "ready,timing", "--max-seconds", "0.5"]
        for _ in range(runs):
            floor.append(_until([sys.executable, "-c", FLOOR], pulse.env, "capture"))
            first.append(_until([*base, "--events", "ready"], pulse.env, '"capture"'))
            stages = _timing(command, pulse.env)
            # The program's clock begins behind the interpreter's own start, measured beside it.
            boot = _until([*PROGRAM, "--version"], pulse.env, "parakeet")
            ours.append(boot + stages["capture_ms"])
    name = "bare interpreter that starts a PortAudio stream"
    _row("spawn → microphone running", ours, name, floor)
    _row("spawn → the host reads that sound arrives", first, name, floor)


def bench_ready(quick: bool) -> None:
    """Spawn to the worker's model loaded, against a script that does nothing else."""
    bare = [sys.executable, "-c", SESSION, *map(str, sorted(TINY_FOLDER.glob("*.onnx")))]
    command = [*RECORD, *TINY, "--input", str(SAMPLE), "--events", "ready"]
    floor, ours = [], []
    for _ in range(5 if quick else 30):
        floor.append(_took(bare))
        ours.append(_until(command, dict(os.environ), '"model"'))
    name = "script that imports onnxruntime and makes the sessions"
    _row("spawn → model ready, tiny-en", ours, name, floor)


def bench_stop(quick: bool) -> None:
    """Stop to `done` with tiny-en, and the floor: one window through the model."""
    runs = 3 if quick else 10
    waits, decodes = [], []
    for i in range(runs):
        command = [*RECORD, *TINY, "--input", str(SAMPLE), "--realtime"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        time.sleep(4 + i % 3)
        stopped = time.monotonic()
        process.stdin.write(b"stop\n")
        process.stdin.flush()
        lines = [json.loads(line) for line in process.stdout]
        waits.append((time.monotonic() - stopped) * 1000)
        decodes.append(float(lines[0]["elapsed_ms"]) if len(lines) > 1 else 0.0)
        process.wait()
    _row("stop → end of stdout, tiny-en", waits, "decoding of the last window", decodes)


def bench_cpu(quick: bool) -> None:
    """CPU of the recorder, worker left out, in real time; without and with live text."""
    seconds = 20 if quick else 60
    with _script({"windows": []}) as script, PulseServer() as pulse:
        command = [*RECORD, "--backend", "scripted", "--model", script, "--max-seconds", "3600"]
        live = [*command, "--events", "ready,partial"]
        reader = [sys.executable, "-c", READER]
        running = [
            subprocess.Popen(one, env=pulse.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            for one in (command, live, reader)
        ]
        time.sleep(5)
        before = [_cpu(process.pid) for process in running]
        time.sleep(seconds)
        used = [
            100 * (_cpu(process.pid) - first) / seconds
            for process, first in zip(running, before, strict=True)
        ]
        recorder = _rss(running[0].pid)
        running[2].kill()
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    floor = f"a bare PortAudio reader {used[2]:.2f} %"
    for name, share in zip(("", ", live text"), used, strict=False):
        ratio = f"{share / used[2]:.2f}x" if used[2] else ""
        figure = f"{share:.2f} % of a core"
        _cell(f"CPU of the recorder, microphone, real time{name}", figure, floor, ratio)
    _cell("memory of the recorder, microphone (RSS)", f"{recorder / 2**20:.1f} MiB")


def bench_memory(quick: bool) -> None:
    """Memory of recorder and worker with tiny-en, and its growth over ten hours of sound."""
    hours = 0.5 if quick else 10
    command = [*RECORD, *TINY, "--input", str(SAMPLE), "--realtime"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    time.sleep(8)
    worker = next(iter(_children(process.pid)))
    _cell("memory of the recorder, file (RSS)", f"{_rss(process.pid) / 2**20:.1f} MiB")
    _cell("memory of the worker with tiny-en (RSS)", f"{_rss(worker) / 2**20:.1f} MiB")
    process.kill()
    process.wait()
    _ten_hours(hours)


def _ten_hours(hours: float) -> None:
    """Feed hours of sound as fast as it is taken and watch the recorder's memory."""
    rng = np.random.default_rng(0)
    minute = (rng.standard_normal(60 * 16_000) * 3_000).astype("<i2").tobytes()
    windows = [{"text": "fix the login bug and open terminal two"}] * 4_000
    with _script({"windows": windows}) as script:
        command = [*RECORD, "--backend", "scripted", "--model", script, "--input", "-"]
        process = subprocess.Popen(
            [*command, "--max-seconds", "1e6"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stdin is not None
        began, early = time.monotonic(), 0
        for i in range(int(hours * 60)):
            process.stdin.write(minute)
            early = _rss(process.pid) if i == 10 else early
        late = _rss(process.pid)
        process.stdin.close()
        process.wait()
    wall = time.monotonic() - began
    growth = (late - early) / 2**20
    _cell(f"growth of the recorder, minute 10 to hour {hours:g}", f"{growth:.1f} MiB")
    _cell(f"{hours:g} h of sound through everything but a model", f"{wall:.1f} s")


def bench_speed(quick: bool) -> None:
    """Our decoding against onnx-asr on the same model files."""
    audio, _ = soundfile.read(SAMPLE, dtype="float32")
    window = audio[:MODEL_WINDOW]
    blank, durations = stated(TINY_FOLDER)
    spec = BackendSpec("onnx", "tiny-en", str(TINY_FOLDER), blank=blank, durations=durations)
    backend, _ = open_backend(spec)
    oracle = onnx_asr.load_model("nemo-conformer-tdt", str(TINY_FOLDER))
    theirs, ours, words = [], [], 0
    for _ in range(3 if quick else 15):
        began = time.perf_counter()
        text = str(oracle.recognize(window))
        theirs.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        backend.transcribe(window)
        ours.append((time.perf_counter() - began) * 1000)
        words = len(text.split())
    backend.close()
    _row(f"15 s window of {words} words, our backend", ours, "onnx-asr on the same files", theirs)


BENCHES: dict[str, Callable[[bool], None]] = {
    "version": bench_version,
    "start": bench_start,
    "ready": bench_ready,
    "stop": bench_stop,
    "cpu": bench_cpu,
    "memory": bench_memory,
    "speed": bench_speed,
}


def _row(name: str, values: list[float], floor_name: str, floor: list[float]) -> None:
    """Print medians and 95th percentiles of two series of ms, and the ratio of the medians."""
    least = statistics.median(floor)
    ratio = f"{statistics.median(values) / least:.2f}x" if least else ""
    _cell(name, _spread(values), f"{floor_name} {_spread(floor)}", ratio)


def _cell(name: str, figure: str, floor: str = "", ratio: str = "") -> None:
    print(f"| {name} | {figure} | {floor} | {ratio} |", flush=True)


def _spread(values: list[float]) -> str:
    high = sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]
    return f"{statistics.median(values):.1f} ms (p95 {high:.1f})"


def _took(command: list[str]) -> float:
    """Return the milliseconds from spawn to exit."""
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - began) * 1000


def _until(command: list[str], env: dict[str, str], word: str) -> float:
    """Return the milliseconds until a line with `word` comes, then end the program."""
    began = time.monotonic()
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if word in line.decode():
                break
        took = (time.monotonic() - began) * 1000
        process.kill()
    return took


def _timing(command: list[str], env: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    lines = map(json.loads, done.stdout.splitlines())
    return next(dict(line["stages"]) for line in lines if line["type"] == "timing")


@contextmanager
def _script(content: object) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.json"
        path.write_text(json.dumps(content))
        yield str(path)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _children(pid: int) -> list[int]:
    """Return the children of every thread: the worker belongs to the one that started it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


if __name__ == "__main__":
    main()
