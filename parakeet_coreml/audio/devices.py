"""Which microphones there are, and which of them is meant."""

import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parakeet_coreml.audio.portaudio import library, one_line, within
from parakeet_coreml.errors import NoDeviceError

HINT = "`parakeet-coreml devices` lists the microphones"
"""What to try when a device is not the one that was wanted."""

NO_SERVER = "connect one, or start the audio server"
"""What to try where there is none."""

NO_SESSION = (
    "XDG_RUNTIME_DIR is not set, so the audio server of the user's session cannot be found: "
    "cron and services have to set it, as to /run/user/1000"
)
"""The same where none can be found."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device that can record."""

    index: int
    name: str
    host_api: str
    channels: int
    rate: float
    """Native rate in Hz, as the device claims."""
    is_default: bool


def list_devices(*, timeout: float = 5.0) -> list[DeviceInfo]:
    """Return the devices that can record; none is opened.

    Raises `NoDeviceError` if the sound system is absent or does not answer within `timeout` s.
    """
    return within(timeout, inputs)


def inputs() -> list[DeviceInfo]:
    """Ask PortAudio for the devices that can record."""
    sounddevice = library()
    try:
        apis = sounddevice.query_hostapis()
        devices = _queried(sounddevice)
        default = sounddevice.default.device[0]
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoDeviceError(f"cannot list the microphones: {one_line(error)}") from error
    return [
        DeviceInfo(
            index=device["index"],
            name=device["name"],
            host_api=apis[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            rate=device["default_samplerate"],
            is_default=device["index"] == default,
        )
        for device in devices
        if device["max_input_channels"] > 0
    ]


def _queried(sounddevice: Any) -> list[dict[str, Any]]:  # noqa: ANN401  sounddevice is untyped
    """Return what PortAudio says of its devices, without those whose names are not UTF-8."""
    try:
        return [*sounddevice.query_devices()]
    except UnicodeDecodeError:
        found: list[dict[str, Any]] = []
        for index in itertools.count():
            try:
                found.append(sounddevice.query_devices(index))
            except UnicodeDecodeError:
                continue
            except (sounddevice.PortAudioError, ValueError):
                return found
        raise AssertionError from None


def first_there(
    devices: list[DeviceInfo], wanted: Sequence[str]
) -> tuple[DeviceInfo, NoDeviceError | None]:
    """Return the first of several that is there, and what is wrong with the very first.

    Without one it is the default. Raises `NoDeviceError`, which names them all, if none is there.
    """
    wrong: list[NoDeviceError] = []
    for one in wanted or (None,):
        try:
            return chosen(devices, one), wrong[0] if wrong else None
        except NoDeviceError as error:
            wrong.append(error)
    messages = dict.fromkeys(error.message for error in wrong)  # "no microphone" is said once
    raise NoDeviceError("; ".join(messages), wrong[0].hint)


def chosen(devices: list[DeviceInfo], wanted: str | None) -> DeviceInfo:
    """Return the device that was asked for: by index, whole name, or a part of one name only.

    Case does not matter; None asks for the default. Raises `NoDeviceError`.
    """
    if not devices:
        lost = sys.platform == "linux" and "XDG_RUNTIME_DIR" not in os.environ
        raise NoDeviceError("there is no microphone", NO_SESSION if lost else NO_SERVER)
    if wanted is None or not wanted.strip():
        found = [device for device in devices if device.is_default]
    elif wanted.strip().isdecimal():
        number = wanted.strip().lstrip("0") or "0"  # no int(): it may have 5,000 digits
        found = [device for device in devices if str(device.index) == number]
    else:
        name = wanted.strip().casefold()
        found = [device for device in devices if device.name.casefold() == name]
        found = found or [device for device in devices if name in device.name.casefold()]
    if len(found) == 1:
        return found[0]
    if not found:
        what = "there is no default microphone" if wanted is None else f"no microphone {wanted!r}"
        raise NoDeviceError(what, HINT)
    several = ", ".join(f"{device.index} {device.name!r}" for device in found)
    raise NoDeviceError(f"{wanted!r} fits several microphones: {several}", "give the number of one")
