"""Which microphones there are, and which of them is meant."""

from dataclasses import dataclass

from parakeet_coreml.audio.portaudio import library, one_line, within
from parakeet_coreml.errors import NoDeviceError

HINT = "`parakeet-coreml devices` lists the microphones"
"""What to try when a device is not the one that was wanted."""


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
        devices = sounddevice.query_devices()
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


def chosen(devices: list[DeviceInfo], wanted: str | None) -> DeviceInfo:
    """Return the device that was asked for: by index, whole name, or a part of one name only.

    Case does not matter; None asks for the default. Raises `NoDeviceError`.
    """
    if not devices:
        raise NoDeviceError("there is no microphone", "connect one, or start the audio server")
    if wanted is None:
        found = [device for device in devices if device.is_default]
    elif wanted.strip().isdecimal():
        found = [device for device in devices if device.index == int(wanted)]
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
