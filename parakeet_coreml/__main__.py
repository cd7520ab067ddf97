"""Start the program: as the recorder and its other commands, or as a recorder's worker."""

# The imports below come when they are needed: `--version` needs none of them.
# ruff: noqa: E402, PLC0415

# Until our own handlers are there, Ctrl-C ends the process and prints no traceback. The built-in
# module, because `signal` itself takes longer to import than all that is before it.
import _signal  # type: ignore[import-not-found]  # typeshed leaves it out

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import sys

from parakeet_coreml import __version__

GC_THRESHOLD = 50_000
"""Objects after which Python looks for cycles. A start makes 21,000 and hardly any garbage: with
Python's own 700 it looks forty times, for 4 % of what the start costs."""


def main() -> None:
    """Run the command line; `worker` is for ourselves only and goes before everything else."""
    if sys.argv[1:] == ["--version"]:
        _tell_version()
    from parakeet_coreml import lastwords

    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "worker":
        from parakeet_coreml.backends.worker.server import serve  # without click

        _collect_less()
        serve(sys.argv[2] if len(sys.argv) > 2 else "")  # noqa: PLR2004  program, worker, spec
    if command == "progressive-record" and not _for_people(sys.argv[2:]):
        lastwords.owe(1)
    try:
        _run(command)
    except BaseException as error:  # noqa: BLE001  the host is owed its last line
        code = lastwords.say(error)
        if not lastwords.limit_of(error):  # a bug, whose traceback is wanted
            sys.excepthook(type(error), error, error.__traceback__)
        _leave(code)


def _leave(code: int) -> None:
    """End the process; what has to be done first is known once there is anything to do."""
    if known := sys.modules.get("parakeet_coreml.host.leave"):
        known.leave(code)
    os._exit(code)


def _collect_less() -> None:
    import gc

    gc.set_threshold(GC_THRESHOLD)


def _run(command: str) -> None:
    """Run the command line."""
    from parakeet_coreml.timing import Waterfall

    waterfall = Waterfall()
    _collect_less()
    from parakeet_coreml.host import leave, stdio

    stdio.secure_stdio()
    leave.begin(records=command == "progressive-record")
    listens = command == "progressive-record" and _listens(sys.argv[2:])
    if listens or command in {"devices", "doctor"}:
        from parakeet_coreml.audio import portaudio  # only for the microphone

        leave.before_leaving.append(portaudio.settle)
        if listens:
            portaudio.preload()
        else:
            leave.settle_before_signals()
    from parakeet_coreml.cli.main import run  # a worker needs no click

    run(waterfall)


def _listens(arguments: list[str]) -> bool:
    """Return whether a recording will open the microphone, before click is there to say so."""
    chosen = os.environ.get("PARAKEET_COREML_INPUT") or "mic"
    for i, argument in enumerate(arguments):  # the last one counts
        if argument == "--input":
            chosen = "".join(arguments[i + 1 : i + 2])
        elif argument.startswith("--input="):
            chosen = argument.removeprefix("--input=")
    return chosen == "mic"


def _for_people(arguments: list[str]) -> bool:
    """Return whether stdout may be text instead of lines, before click is there to say so."""
    text = {"text", "--format=text"}.intersection(arguments)
    return bool(text) or os.environ.get("PARAKEET_COREML_FORMAT") == "text"


def _tell_version() -> None:
    """Print the version and leave; if that fails, click may say why.

    Hosts ask this at each start of theirs. click alone takes three times as long as the rest, and
    an interpreter that ends in order a fifth.
    """
    try:
        os.write(1, f"parakeet-coreml {__version__}\n".encode())
    except OSError:
        return
    os._exit(0)


if __name__ == "__main__":
    main()
