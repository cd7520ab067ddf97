"""The `waterfall` command: draw what a host kept of its recordings."""

import sys
from pathlib import Path

import click

from parakeet_coreml.bench.kept import Recording, recordings
from parakeet_coreml.errors import UsageError


@click.command("waterfall", short_help="Draw a recording as a cascade, or many as a table.")
@click.argument("files", nargs=-1, metavar="[FILES|-]")
@click.option("--svg", is_flag=True, help="The cascade of one recording as a picture, on stdout.")
@click.option("--all", "every", is_flag=True, help="Of many, a cascade of each before the table.")
def waterfall(*, files: tuple[str, ...], svg: bool, every: bool) -> int:
    """Draw one recording as a cascade, or show many as a table.

    FILES hold the lines of recordings made with --events timing,window, as they came, one recording
    after the other; - and nothing are stdin. The Node client's lines also say when they came.
    """
    from parakeet_coreml.bench import cascade, table  # noqa: PLC0415  NumPy, which no help needs

    found = [recording for name in files or ("-",) for recording in _read(name)]
    if not found:
        raise UsageError(
            "no recording with a timing line is in it", "record with --events timing,window"
        )
    if svg:
        if len(found) > 1:
            raise UsageError(f"--svg draws one recording, not {len(found)}", "give it one file")
        click.echo(cascade.svg(found[0]), nl=False)
        return 0
    if every or len(found) == 1:
        click.echo("\n\n".join(map(cascade.text, found)))
    if len(found) > 1:
        click.echo(("\n" if every else "") + table.table(found))
    return 0


def _read(name: str) -> list[Recording]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read '{name}': {error.strerror}") from error
    text = data.decode("utf-8", "replace")
    return list(recordings(text.split("\n"), "stdin" if name == "-" else Path(name).name))
