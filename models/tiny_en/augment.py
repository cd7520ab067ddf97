"""Make clean speech sound like a room, a telephone, a bad microphone; make what is no speech."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Samples = NDArray[np.float32]
RATE = 16_000


def resampled(samples: Samples, factor: float) -> Samples:
    """Play faster or slower: pitch, formants and tempo move together, as with another throat."""
    count = max(1, int(len(samples) / factor))
    return np.interp(np.arange(count) * factor, np.arange(len(samples)), samples).astype(np.float32)


def coloured(rng: np.random.Generator, count: int, slope: float) -> Samples:
    """Make noise of unit deviation whose power falls with frequency to the power `slope`."""
    padded = fft.next_fast_len(count, real=True)
    spectrum = fft.rfft(rng.standard_normal(padded, np.float32))
    shape = np.maximum(np.fft.rfftfreq(padded, 1 / RATE), 20.0) ** (-slope / 2)
    noise = fft.irfft(spectrum * shape.astype(np.float32), padded)[:count]
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def hum(rng: np.random.Generator, count: int) -> Samples:
    """Make mains hum, or a fan: a low tone with overtones."""
    time = np.arange(count) / RATE
    base = rng.choice([50.0, 60.0, rng.uniform(80, 400)])
    tone = sum(
        rng.uniform(0.1, 1) / k * np.sin(2 * np.pi * (base * k * time + rng.random()))
        for k in range(1, 9)
    )
    return (tone / (np.std(tone) + 1e-9)).astype(np.float32)


def clicks(rng: np.random.Generator, count: int) -> Samples:
    """Make keys, knocks and clicks: short bursts that ring a little."""
    out = np.zeros(count + 4000, np.float32)
    for _ in range(max(1, int(count / RATE * rng.uniform(0.5, 8)))):
        size = int(rng.uniform(30, 2500))
        burst = rng.standard_normal(size) * np.exp(-np.arange(size) / (size / rng.uniform(3, 8)))
        if rng.random() < 0.5:
            burst *= np.sin(2 * np.pi * rng.uniform(150, 4000) * np.arange(size) / RATE)
        at = int(rng.integers(0, max(1, count)))
        out[at : at + size] += (burst * rng.uniform(0.2, 1)).astype(np.float32)
    return out[:count] / (out[:count].std() + 1e-9)


def music(rng: np.random.Generator, count: int) -> Samples:
    """Make chords and melodies of plucked, blown or bowed tones."""
    out = np.zeros(count, np.float32)
    beat = int(RATE * rng.uniform(0.12, 0.6))
    scale = (
        110
        * 2 ** (rng.integers(0, 12) / 12)
        * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16, 19]) / 12)
    )
    for start in range(0, count, beat):
        size = min(int(beat * rng.uniform(0.8, 3)), count - start)
        time = np.arange(size) / RATE
        for pitch in rng.choice(scale, rng.integers(1, 4)):
            wobble = rng.choice([0.0, 0.004]) * np.sin(2 * np.pi * 5 * time)
            tone = sum(
                rng.uniform(0, 1) / k * np.sin(2 * np.pi * pitch * k * (time + wobble / 30))
                for k in range(1, 6)
            )
            out[start : start + size] += (
                tone * np.exp(-time * rng.uniform(0.3, 6)) * np.minimum(1, time * 80)
            )
    if rng.random() < 0.4:
        out += 0.3 * clicks(rng, count)
    return out / (out.std() + 1e-9)


def tones(rng: np.random.Generator, count: int) -> Samples:
    """Make beeps and sweeps: voiced, but nobody's voice."""
    time = np.arange(count) / RATE
    glide = np.cumsum(rng.standard_normal(count // 800 + 2)) * rng.uniform(0, 60)
    pitch = rng.uniform(90, 1500) + np.interp(np.arange(count), np.arange(len(glide)) * 800, glide)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = (
        np.sin(phase)
        + rng.uniform(0, 0.7) * np.sin(2 * phase)
        + rng.uniform(0, 0.5) * np.sin(3 * phase)
    )
    gate = np.sin(2 * np.pi * rng.uniform(0.2, 4) * time + 6 * rng.random()) > rng.uniform(-1, 0.5)
    tone = tone * np.convolve(gate, np.ones(160) / 160, "same")
    return (tone / (tone.std() + 1e-9)).astype(np.float32)


def breath(rng: np.random.Generator, count: int) -> Samples:
    """Make breathing, rustling and rumble: noise that swells and fades in bands."""
    noise = coloured(rng, count, rng.uniform(0, 2))
    heights = rng.uniform(0, 1, count // 3200 + 2) ** 3
    swell = np.interp(np.arange(count), np.arange(len(heights)) * 3200, heights)
    return (noise * swell / ((noise * swell).std() + 1e-9)).astype(np.float32)


def noise(rng: np.random.Generator, count: int) -> Samples:
    """Make one kind of sound without words, of unit deviation."""
    makers = (hum, clicks, music, tones, breath)
    pick = int(rng.integers(0, 9))
    return (
        makers[pick](rng, count)
        if pick < len(makers)
        else coloured(rng, count, float(rng.choice([0, 0, 1, 1.5, 2])))
    )


@cache
def bank() -> list[Samples]:
    """Make a stock of sounds without words: making them afresh costs more than training on them."""
    rng = np.random.default_rng()
    return [noise(rng, 20 * RATE) for _ in range(90)]


RECORDED: list[Samples] = []
"""Recorded noises, where the mixture has found some."""


def stocked(rng: np.random.Generator, count: int) -> Samples:
    """Take a stretch from the stock or from what was recorded, of unit deviation."""
    stock = RECORDED if RECORDED and rng.random() < 0.4 else bank()
    sound = stock[int(rng.integers(0, len(stock)))]
    start = int(rng.integers(0, max(1, len(sound) - count)))
    cut = np.resize(sound[start : start + count], count)
    return cut / (cut.std() + np.float32(1e-6))


def wordless(rng: np.random.Generator, count: int) -> Samples:
    """Make a whole window in which nobody speaks."""
    draw = rng.random()
    if draw < 0.05:
        return np.zeros(count, np.float32)
    floor = coloured(rng, count, rng.uniform(0, 2)) * 10 ** rng.uniform(-5, -2.5)
    if draw < 0.25:
        return floor
    level = 10 ** rng.uniform(-3.5, -0.8)
    sound = stocked(rng, count) if RECORDED and draw < 0.5 else noise(rng, count)
    return np.clip(sound * level + floor, -1, 1).astype(np.float32)


def roomed(rng: np.random.Generator, samples: Samples) -> Samples:
    """Filter as a room and a microphone do: echoes, a band, a tilt; all in one transform."""
    size = len(samples)
    padded = fft.next_fast_len(size + 8000, real=True)
    spectrum = fft.rfft(samples, padded)
    frequency = np.fft.rfftfreq(padded, 1 / RATE).astype(np.float32)
    if rng.random() < 0.6:
        decay = rng.uniform(0.05, 0.5)
        tail = rng.standard_normal(8000) * np.exp(-6.9 * np.arange(8000) / RATE / decay)
        tail[: int(rng.uniform(10, 80))] = 0
        tail *= rng.uniform(0.05, 0.9) / (np.sqrt((tail**2).sum()) + 1e-9)
        tail[0] = 1
        spectrum *= fft.rfft(tail.astype(np.float32), padded)
    if rng.random() < 0.5:
        spectrum *= 1 / (
            1 + (frequency / rng.choice([3400, 3900, 4000, rng.uniform(3000, 8000)])) ** 24
        )
    if rng.random() < 0.3:
        spectrum *= 1 - 1 / (1 + (frequency / rng.uniform(60, 350)) ** 6)
    tilt = rng.uniform(-6, 6) / 20
    spectrum *= (np.maximum(frequency, 100) / 1000) ** tilt
    return fft.irfft(spectrum, padded)[:size].astype(np.float32)


def augmented(rng: np.random.Generator, samples: Samples, strength: float) -> Samples:
    """Spoil clean speech; `strength` is the chance of each kind of damage."""
    if rng.random() < strength:
        samples = resampled(samples, float(np.clip(np.exp(rng.normal(0, 0.09)), 0.8, 1.25)))
    if rng.random() < 0.7 * strength:
        samples = roomed(rng, samples)
    level = float(np.sqrt((samples**2).mean())) + 1e-9
    if rng.random() < strength:
        ratio = 10 ** (-rng.uniform(5, 40) / 20)
        samples = samples + stocked(rng, len(samples)) * np.float32(level * ratio)
    else:
        samples = samples + rng.standard_normal(len(samples)).astype(np.float32) * np.float32(
            level * 10 ** -rng.uniform(1.5, 4)
        )
    gain = (
        10 ** (rng.uniform(-30, 8) / 20)
        if rng.random() < strength
        else 10 ** (rng.uniform(-12, 3) / 20)
    )
    samples = np.clip(samples * np.float32(gain), -1, 1)
    if rng.random() < 0.1 * strength:
        samples = np.clip(samples, -0.4 * np.abs(samples).max(), 0.4 * np.abs(samples).max())
    return samples.astype(np.float32)
