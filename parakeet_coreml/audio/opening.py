"""A stream of PortAudio from a microphone: which one, at which rate, of how many channels.

Runs on a daemon thread, as every call of PortAudio: see `portaudio`.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from parakeet_coreml.audio.devices import HINT, DeviceInfo, first_there, inputs
from parakeet_coreml.audio.portaudio import library, one_line, restart
from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE
from parakeet_coreml.errors import NoDeviceError

LATENCY = {"darwin": 5.0, "linux": 0.5}
"""Seconds to ask PortAudio for: how long the interpreter may stall before samples are lost.

On a Mac the ring holds twice this, rounded up to a power of two (pa_mac_core_blocking.c): at 48 kHz
10.9 s in 2 MB; the default is 43 to 85 ms. The device is asked for its largest buffer in either
case, so a lower value would not bring the first samples earlier.

On Linux the value is the buffer of the ALSA device, cut into four periods, and on bare hardware a
period is how late samples come. PulseAudio keeps what the buffer cannot take: with 0.5 the first
samples came after 10 to 21 ms, and a stall of 3 s lost none (2.0 and 5.0 gave the same). The
default of 9 to 35 ms also lost none, but a poll drains only one such buffer, so the reader could
not catch up afterwards (measured 2026-11 with PortAudio 19.6, PulseAudio 16.1).
"""

Rates = Mapping[tuple[str, int], int]
"""The rate that a device of this name was found to give where it claims this one."""


class Opened(NamedTuple):
    """A stream that runs."""

    stream: Any
    name: str
    rate: int
    claimed: int
    """The device's own rate, as it says."""
    channels: int
    wrong: NoDeviceError | None
    """Why it is not the first of the devices that were asked for."""


def open_stream(
    wanted: Sequence[str], *, channel: int | None, rates: Rates, afresh: bool
) -> Opened:
    """Find the first of several devices that is there, open and start it.

    `channel` counts from 1; None is all of them made one by the system. With `afresh` PortAudio
    looks for its devices again first. Raises `NoDeviceError`.
    """
    sounddevice = library()
    try:
        if afresh:
            restart()
        info, wrong = first_there(inputs(), wanted)
        if not MIN_RATE <= info.rate <= MAX_RATE:  # nor is NaN
            bounds = f"{MIN_RATE} to {MAX_RATE}"
            raise NoDeviceError(f"{info.name!r} claims {info.rate:g} Hz, outside {bounds}", HINT)
        claimed = round(info.rate)
        rate = rates.get((info.name, claimed), claimed)
        channels = channels_of(info, channel)
        stream = sounddevice.RawInputStream(
            device=info.index,
            samplerate=rate,
            channels=channels,
            dtype="float32",
            latency=LATENCY.get(sys.platform, "high"),
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoDeviceError(f"cannot open the microphone: {one_line(error)}", HINT) from error
    return Opened(
        stream=stream,
        name=info.name,
        rate=rate,
        claimed=claimed,
        channels=channels,
        wrong=wrong,
    )


def channels_of(info: DeviceInfo, channel: int | None) -> int:
    """Return how many channels to open. Raises `NoDeviceError` without the one asked for.

    One alone is made of all by the system, so the first is asked for with its neighbour.
    """
    if channel is None:
        return 1
    if channel > info.channels:
        count = f"{info.channels} channel{'s' * (info.channels > 1)}"
        raise NoDeviceError(
            f"{info.name!r} has {count}, no channel {channel}",
            "choose another --channel, or mix",
        )
    return min(info.channels, max(2, channel))
