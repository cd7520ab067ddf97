"""What the ceremony costs and what the backend does: one table, one picture, three waterfalls.

    python tests/bench/ceremony.py --data FOLDER --out FOLDER [--backend onnx] [--rounds 3]

The ceremony is a resident HTTP server with the same model and decoder (`ceremony_server.py`): at
the stop the host writes a WAV file, reads it back, encodes it in base64, posts it as JSON and
parses the answer. Beside it the recorder gets the same sound in real time and is stopped at the
same sample. Then the same files, whole, through onnx-asr and parakeet-mlx where they are installed.
"""

import argparse
import base64
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))  # its own folder is there already

import numpy as np
import psutil
import pytest
from ceremony_server import Steps, transcribe
from pulse import RATE, PulseServer

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.bench import cascade, data, pictures, stops
from parakeet_coreml.bench.cascade import Interval
from parakeet_coreml.bench.data import Utterance
from parakeet_coreml.bench.figures import Errors, corpus_rate
from parakeet_coreml.bench.kept import Recording, recordings
from parakeet_coreml.bench.machine import BUSY, Load, describe
from parakeet_coreml.bench.plan import Task, Variant
from parakeet_coreml.bench.run import program, run
from parakeet_coreml.bench.scoring import Scorer
from parakeet_coreml.selection import ModelSelection

LENGTHS = (3, 10, 30)
"""Seconds of the recordings, at least."""

PAUSE = 0.4
"""Seconds between the recordings that one is made of."""

PEER_FILES = 20

HOPS = (
    *("write the WAV", "read it back", "encode base64", "write JSON", "post and wait"),
    *("read the body", "parse JSON", "decode base64", "read the WAV", "recognise all of it"),
    "parse the answer",
)
"""Of the ceremony, in order."""

RECOGNISED = "recognise all of it"
"""The hop that is no hand-over."""


def main() -> None:
    """Measure, and write the report and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backend", default="onnx")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    load, began = Load(), time.process_time()
    utterances = data.read(options.data, limit=None, seed=1, english=True)
    with tempfile.TemporaryDirectory() as folder:
        played = [lengthened(utterances, seconds, Path(folder)) for seconds in LENGTHS]
        ceremony, server = measure_ceremony(played, options.backend, options.rounds)
        ours = measure_ours(played, options.backend, options.rounds)
    peers = measure_peers([u for u in utterances if u.seconds < 14][:PEER_FILES], options.backend)
    children = os.times()
    own = time.process_time() - began + children.children_user + children.children_system
    machine = describe()
    others = load.others(own)
    note = f"{str(machine['date'])[:10]}, {machine['cores']} cores of {machine['processor']}, "
    note += f"{machine['system']}" + (
        f", busy: {others:.1f} cores used by others" * (others > BUSY)
    )
    write(options.out, Found(options.backend, played, ceremony, server, ours, peers, note))


# What is played


def lengthened(utterances: list[Utterance], seconds: float, folder: Path) -> Utterance:
    """Return recordings joined to one of at least so many seconds, as a file."""
    gap = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    parts: list[Samples] = []
    texts: list[str] = []
    for utterance in utterances:
        parts += [utterance.audio(), gap]
        texts.append(utterance.text)
        if sum(map(len, parts)) >= seconds * SAMPLE_RATE:
            break
    audio = np.concatenate(parts)
    path = folder / f"{seconds}.wav"
    stops.write(path, audio)
    return Utterance(f"{seconds} s", path, " ".join(texts), len(audio) / SAMPLE_RATE)


def until_stop(utterance: Utterance, stop: str) -> Samples:
    """Return what was captured when the stop came."""
    audio, at = stops.prepared(utterance.audio(), stop)
    return audio[: round(at * SAMPLE_RATE)]


# The ceremony


@dataclass(frozen=True)
class Posted:
    """One recording through the ceremony."""

    length: str
    stop: str
    steps: dict[str, float]
    inside: dict[str, float]
    text: str

    @property
    def ms(self) -> float:
        """Stop to text."""
        return sum(self.steps.values())


@dataclass(frozen=True)
class Server:
    """The resident process."""

    cold_ms: float
    idle_mb: float
    peak_mb: float


@contextmanager
def served(backend: str) -> Iterator[tuple[int, psutil.Process, float]]:
    """Run the server; yields its port, its process, and the ms from spawn to its first word."""
    began = time.monotonic()
    command = [sys.executable, str(Path(__file__).parent / "ceremony_server.py"), backend]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield port, psutil.Process(process.pid), (time.monotonic() - began) * 1000
        process.terminate()


def measure_ceremony(
    played: list[Utterance], backend: str, rounds: int
) -> tuple[list[Posted], Server]:
    """Post every recording in every round, after one that warms up."""
    found = []
    with served(backend) as (port, process, cold):
        idle = process.memory_info().rss / 1e6
        posted(port, played[0], "pause")
        for _ in range(rounds):
            found += [posted(port, one, stop) for one in played for stop in ("pause", "word")]
        peak = process.memory_info().rss / 1e6
    return found, Server(cold, idle, peak)


def posted(port: int, utterance: Utterance, stop: str) -> Posted:
    """Do what the host does between the stop and the text."""
    audio = until_stop(utterance, stop)
    steps = Steps()
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        stops.write(Path(file.name), audio)
        steps.done("write the WAV")
        sound = Path(file.name).read_bytes()
        steps.done("read it back")
    encoded = base64.b64encode(sound).decode()
    steps.done("encode base64")
    body = json.dumps({"audio": encoded})
    steps.done("write JSON")
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/transcribe", body, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    connection.close()
    steps.done("post and wait")
    parsed = json.loads(answer)
    steps.done("parse the answer")
    # What the server did is no part of the waiting.
    ms = {**steps.ms, **parsed["steps"]}
    ms["post and wait"] -= sum(parsed["steps"].values())
    in_order = {hop: ms[hop] for hop in HOPS}
    return Posted(utterance.name, stop, in_order, parsed["inside"], parsed["text"])


# Ours


def measure_ours(played: list[Utterance], backend: str, rounds: int) -> list[dict[str, Any]]:
    """Play every recording to the recorder in real time and stop it."""
    variant = Variant(backend, "tiny-en")
    tasks = [Task(variant, one, stop) for one in played for stop in ("pause", "word")]
    return [run(task, program()) for _ in range(rounds) for task in tasks]


def microphone_run(backend: str, utterance: Utterance) -> Recording | None:
    """Return a recording from a real microphone stream: PulseAudio's pipe source."""
    audio = until_stop(utterance, "pause")
    at = np.arange(round(len(audio) * RATE / SAMPLE_RATE)) * (SAMPLE_RATE / RATE)
    pcm = (np.interp(at, np.arange(len(audio)), audio) * 32_767).astype(np.int16)
    key = time.time() * 1000
    with PulseServer() as pulse:
        key = time.time() * 1000
        command = [*program(), "progressive-record", "--backend", backend, "--model", "tiny-en"]
        command += ["--events", "ready,window,timing,partial", "--t0", f"{key:.1f}"]
        with subprocess.Popen(
            command,
            env=pulse.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            lines = []
            for text in process.stdout:
                line = json.loads(text) | {"received_ms": time.time() * 1000}
                lines.append(json.dumps(line))
                if line.get("what") == "capture":
                    pulse.mic.play(pcm).wait(300)
                    process.stdin.write(b"stop\n")
                    process.stdin.flush()
    return next(recordings(lines, "microphone"), None)


# Peers


@dataclass(frozen=True)
class Peer:
    """One way to recognise whole files."""

    name: str
    ms: list[float]
    errors: list[Errors]
    texts: list[str]
    seconds: float


def measure_peers(utterances: list[Utterance], backend: str) -> list[Peer]:
    """Give every file to every peer in turn, after one that warms up."""
    backends = dict.fromkeys((backend, "onnx", *(["mlx"] if has("parakeet_mlx") else [])))
    ways = {f"parakeet-coreml {name}": own(name) for name in backends}
    ways |= {name: way() for name, way in PEERS.items() if has(name.replace("-", "_"))}
    scorer = Scorer("english")
    found: dict[str, tuple[list[float], list[str]]] = {name: ([], []) for name in ways}
    for utterance in [utterances[0], *utterances]:
        audio = utterance.audio()
        for name, way in ways.items():
            began = time.perf_counter()
            text = way(audio)
            found[name][0].append((time.perf_counter() - began) * 1000)
            found[name][1].append(text)
    seconds = sum(utterance.seconds for utterance in utterances)
    return [
        Peer(
            name,
            ms[1:],
            [scorer.errors(u.text, t) for u, t in zip(utterances, texts[1:], strict=True)],
            texts[1:],
            seconds,
        )
        for name, (ms, texts) in found.items()
    ]


def has(package: str) -> bool:
    return find_spec(package) is not None


def own(backend: str) -> Callable[[Samples], str]:
    opened, _ = open_backend(ModelSelection("tiny-en", None, backend, None).spec())
    return lambda audio: transcribe(opened, audio)[0]


def folder() -> str:
    return ModelSelection("tiny-en", None, "onnx", None).spec().directory


def onnx_asr() -> Callable[[Samples], str]:
    import onnx_asr as peer  # noqa: PLC0415  may be absent

    model = peer.load_model("nemo-conformer-tdt", folder())
    return lambda audio: str(model.recognize(audio))


def parakeet_mlx() -> Callable[[Samples], str]:
    import mlx.core as mx  # noqa: PLC0415  may be absent
    from parakeet_mlx.audio import get_logmel  # noqa: PLC0415  likewise
    from parakeet_mlx.utils import from_config  # noqa: PLC0415  likewise

    config = json.loads((Path(folder()) / "config.json").read_text())
    model = from_config(config)
    model.load_weights(str(Path(folder()) / "model.safetensors"))
    model.set_dtype(mx.float32)

    def heard(audio: Samples) -> str:
        features = get_logmel(mx.array(audio), model.preprocessor_config)
        return str(model.generate(features)[0].text)

    return heard


PEERS: dict[str, Callable[[], Callable[[Samples], str]]] = {
    "onnx-asr": onnx_asr,
    "parakeet-mlx": parakeet_mlx,
}


# The report


@dataclass(frozen=True)
class Found:
    """All that was measured."""

    backend: str
    played: list[Utterance]
    ceremony: list[Posted]
    server: Server
    ours: list[dict[str, Any]]
    peers: list[Peer]
    note: str


def write(out: Path, found: Found) -> None:
    """Write the tables, the picture and the waterfalls."""
    (out / "ceremony.md").write_text(text_of_report(found), encoding="utf-8")
    (out / "ceremony.svg").write_text(bars(found), encoding="utf-8")
    longest = found.played[-1].name
    (one, *_) = [p for p in found.ceremony if p.length == longest and p.stop == "pause"]
    (out / "ceremony-waterfall.svg").write_text(steps_of(one, found.note), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        utterances = data.read(data.BUNDLED, limit=None, seed=1, english=True)
        short = lengthened(utterances[:1], 3, Path(folder))
        try:
            recording = microphone_run(found.backend, short)
        except (OSError, ValueError, subprocess.SubprocessError, pytest.skip.Exception) as error:
            # The rest took half an hour: one picture less does not cost it.
            sys.stderr.write(f"No recording from a microphone: {error}\n")
            recording = None
    if recording is not None:
        drawn = cascade.svg(recording, found.note)
        (out / "microphone-waterfall.svg").write_text(drawn, encoding="utf-8")
    sys.stdout.write(text_of_report(found))


def steps_of(posted: Posted, note: str) -> str:
    """Draw the ceremony of one recording as the waterfall of ours is drawn."""
    at, steps = 0.0, []
    for name, ms in posted.steps.items():
        steps.append(Interval(name, at, at + ms))
        at += ms
    inside = ", ".join(f"{name} {ms:.1f} ms" for name, ms in posted.inside.items())
    head = f"the ceremony from the stop to the text, {posted.length} stopped in a {posted.stop}"
    return cascade.picture(head, steps, [], [f"recognition: {inside}", note])


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def stopped(found: Found, length: str, stop: str) -> tuple[list[float], list[float]]:
    """Return stop to text of the ceremony, and of ours once the model is there, in ms."""
    theirs = [p.ms for p in found.ceremony if (p.length, p.stop) == (length, stop)]
    rows = [row for row in found.ours if (row["name"], row["stop"]) == (length, stop)]
    waits = [row["figures"]["stop_done_ms"] for row in rows]
    return theirs, [wait for wait in waits if wait is not None]


def loading(found: Found, length: str | None = None, stop: str | None = None) -> list[float]:
    """Return stop to text, in ms, of stops that fell while the model still loaded.

    The ceremony has none: its server was there before.
    """
    rows = [
        row for row in found.ours if length in {None, row["name"]} and stop in {None, row["stop"]}
    ]
    waits = [row["figures"]["stop_loading_ms"] for row in rows]
    return [wait for wait in waits if wait is not None]


def text_of_report(found: Found) -> str:
    """Return the tables in Markdown."""
    well = [row["figures"] for row in found.ours if row["exit_code"] == 0]
    rows = [
        f"{found.note}. tiny-en on {found.backend}, medians; `tests/bench/ceremony.py`.",
        "",
        "| stop to text, ms | the ceremony | parakeet-coreml | ratio |",
        "|---|--:|--:|--:|",
    ]
    for utterance in found.played:
        for stop in ("pause", "word"):
            theirs, waits = stopped(found, utterance.name, stop)
            early = len(loading(found, utterance.name, stop))
            name = f"{utterance.seconds:.0f} s, stopped in a {stop}"
            name += f" ({early} of {early + len(waits)} fell while the model loaded)" * (early > 0)
            ours = f"{median(waits):.1f}" if waits else ""
            ratio = f"{median(theirs) / median(waits):.1f}x" if waits else ""
            rows.append(f"| {name} | {median(theirs):.1f} | {ours} | {ratio} |")
    all_early = loading(found)
    if all_early:
        row = f"| stopped while the model still loads, {len(all_early)} of {len(found.ours)}"
        rows.append(f"{row} recordings | | {median(all_early):.1f} | |")
    model = median([figures["model_ms"] for figures in well if figures["model_ms"]])
    recorder = median([figures["recorder_mb"] for figures in well if figures["recorder_mb"]])
    worker = median([figures["worker_mb"] for figures in well if figures["worker_mb"]])
    server = found.server
    rows += [
        f"| spawn to ready to recognise | {server.cold_ms:.0f} | {model:.0f} | |",
        "",
        "| | the ceremony | parakeet-coreml |",
        "|---|--:|--:|",
        f"| memory between two recordings, MB | {server.idle_mb:.0f} | 0 |",
        f"| while it recognises, MB | {server.peak_mb:.0f} | {recorder + worker:.0f} |",
        f"| hops from the stop to the text | {len(HOPS)} | 3: window, tokens, line |",
        "",
        "| whole files | median ms | RTFx | WER |",
        "|---|--:|--:|--:|",
    ]
    for peer in found.peers:
        speed = peer.seconds / (sum(peer.ms) / 1000)
        wer = corpus_rate(peer.errors)
        rows.append(f"| {peer.name} | {median(peer.ms):.1f} | {speed:.0f} | {wer:.1%} |")
    return "\n".join((*rows, ""))


def bars(found: Found) -> str:
    """Draw stop to text: what the ceremony hands over and recognises, and ours beside it."""

    def draw(axes: Any) -> None:
        places = range(len(found.played))
        bottom = [0.0] * len(found.played)
        handed = [hop for hop in HOPS if hop != RECOGNISED]
        name = f"ceremony: the other {len(handed)} hops"
        for hops, label, colour in (
            (handed, name, "#f59e0b"),
            ([RECOGNISED], f"ceremony: {RECOGNISED}", "#94a3b8"),
        ):
            parts = [
                sum(
                    median([p.steps[h] for p in found.ceremony if p.length == o.name]) for h in hops
                )
                for o in found.played
            ]
            at = [p - 0.2 for p in places]
            axes.bar(at, parts, 0.36, bottom=bottom, label=label, color=colour)
            bottom = [b + p for b, p in zip(bottom, parts, strict=True)]
        for stop, shift, colour in (("pause", 0.1, "#2563eb"), ("word", 0.3, "#93c5fd")):
            ms = [median(stopped(found, one.name, stop)[1]) for one in found.played]
            label = f"parakeet-coreml, stopped in a {stop}"
            axes.bar([p + shift for p in places], ms, 0.18, label=label, color=colour)
        axes.set_xticks(places, [f"{one.seconds:.0f} s" for one in found.played])

    title = f"Stop to text, tiny-en on {found.backend}"
    return pictures.picture(draw, title, "length of the recording", "ms", found.note)


if __name__ == "__main__":
    main()
