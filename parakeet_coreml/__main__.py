"""Start the program: as the recorder and its other commands, or as a recorder's worker."""

import signal
import sys

from parakeet_coreml.timing import Waterfall


def main() -> None:
    """Run the command line; `worker` is for ourselves only and goes before everything else."""
    waterfall = Waterfall()
    # Until our own handlers are there, Ctrl-C ends the process and prints no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "worker":
        from parakeet_coreml.backends.worker import serve  # noqa: PLC0415  without click

        serve(sys.argv[2] if len(sys.argv) > 2 else "")  # noqa: PLR2004  program, worker, spec
    if command == "progressive-record" and not any(a.startswith("--input") for a in sys.argv):
        from parakeet_coreml.capture import preload  # noqa: PLC0415  only for the microphone

        preload()
    from parakeet_coreml.cli import run  # noqa: PLC0415  a worker needs no click

    run(waterfall)


if __name__ == "__main__":
    main()
