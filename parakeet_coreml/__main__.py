"""Start as the recorder's command line, or as its worker."""

import signal
import sys


def main() -> None:
    """Run what the command line says."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the recorder listens: leave, no traceback
    if sys.argv[1:2] == ["worker"]:
        from parakeet_coreml.backends.worker import serve  # noqa: PLC0415  it needs no click

        serve(sys.argv[2])
    from parakeet_coreml import cli  # noqa: PLC0415  the worker needs no click

    cli.main()


if __name__ == "__main__":
    main()
