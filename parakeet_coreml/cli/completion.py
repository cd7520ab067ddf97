"""What a shell may complete: the values of options, asked of the program by the shell."""

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from parakeet_coreml.host.leave import before_leaving, settle_before_signals
from parakeet_coreml.protocol.json_lines import EVENTS
from parakeet_coreml.store.locate import NAMES
from parakeet_coreml.store.manifest import PUBLISHED

Items = list[CompletionItem]


def models(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return the names of models, and folders where no name fits."""
    return _fitting(NAMES, begun) or [CompletionItem(begun, type="dir")]


def downloads(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return the names of models that can be downloaded."""
    return _fitting(PUBLISHED, begun)


def events(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return the names of events behind those that are there already."""
    there, comma, last = begun.rpartition(",")
    left = [name for name in EVENTS if name not in there.split(",")]
    names = left if there else [*left, "all"]
    return [CompletionItem(f"{there}{comma}{name}") for name in names if name.startswith(last)]


def inputs(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return the microphone's word, and files."""
    return [*_fitting(("mic",), begun), CompletionItem(begun, type="file")]


def devices(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return the names of the microphones."""
    from parakeet_coreml.audio import portaudio  # noqa: PLC0415  only here
    from parakeet_coreml.audio.devices import list_devices  # noqa: PLC0415  likewise
    from parakeet_coreml.errors import ParakeetError  # noqa: PLC0415  likewise

    before_leaving.append(portaudio.settle)  # as for `devices`: its search is never cut off
    settle_before_signals()
    try:
        return _fitting([device.name for device in list_devices()], begun)
    except ParakeetError:
        return []


def _fitting(names: Iterable[str], begun: str) -> Items:
    return [CompletionItem(name) for name in names if name.startswith(begun)]
