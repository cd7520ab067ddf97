"""The `models` commands: what is installed, and getting, checking and removing it."""

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import click

from parakeet_coreml.backends.registry import RUNTIMES
from parakeet_coreml.errors import ModelMissingError, OutputLostError, ParakeetError, UsageError
from parakeet_coreml.store.http import Limits
from parakeet_coreml.store.install import install, is_removable, remove
from parakeet_coreml.store.locate import (
    BUILT_IN,
    absolute,
    auto_backend,
    default_models_dir,
    resolve,
)
from parakeet_coreml.store.manifest import published, shipped
from parakeet_coreml.store.state import state_of
from parakeet_coreml.store.verify import verify

_P = ParamSpec("_P")
_R = TypeVar("_R")


def told(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn the errors of a command into a line on stderr and an exit code."""

    @functools.wraps(function)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except ParakeetError as error:
            click.echo(f"Error: {error.message}", err=True)
            if error.hint:
                click.echo(error.hint, err=True)
            raise click.exceptions.Exit(error.exit_code) from error

    return wrapper


def _print(line: str) -> None:
    """Write a line of data to stdout; raise `OutputLostError` if nobody takes it."""
    try:
        click.echo(line)
    except OSError as error:
        # What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputLostError(f"cannot write to stdout: {error.strerror}") from error


_name = click.argument("name", metavar="NAME")
_backend = click.option(
    "--backend",
    type=click.Choice(["auto", *RUNTIMES]),
    default="auto",
    show_default=True,
    envvar="PARAKEET_COREML_BACKEND",
    help="The form of the model. auto: coreml on an Apple-silicon Mac, onnx elsewhere.",
)
_models_dir = click.option(
    "--models-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="PARAKEET_COREML_MODELS_DIR",
    help="Folder that models lie in; default: the platform's folder for user data.",
)
_quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def models() -> None:
    """List, download, check and remove models.

    Recording never downloads: get a model once with `models download v3`. Every file is pinned by
    revision, size and SHA-256, so it does not matter which host serves it. tiny-en is built in.

    \b
    PARAKEET_COREML_MIRROR   https address of a mirror (else HF_ENDPOINT)
    HTTPS_PROXY, NO_PROXY    proxies
    PARAKEET_COREML_OFFLINE  1: fail at once instead of using the network (as HF_HUB_OFFLINE)
    SSL_CERT_FILE            certificates to trust instead of the system's
    """  # noqa: D301  click's mark for text that keeps its lines


# What there is


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@_models_dir
@told
def list_(*, as_json: bool, models_dir: Path | None) -> None:
    """Show every model: name, backend, size, state, folder.

    The states: installed, partial (a download was interrupted: `models download` goes on with it),
    damaged, missing. Names and sizes are looked at, no contents: that is `models verify`.
    """
    root = absolute(models_dir or default_models_dir())
    if not as_json:
        _print(f"{'NAME':8} {'BACKEND':8} {'SIZE':>9}  {'STATE':9}  FOLDER")
    for row in _rows(root):
        if as_json:
            _print(json.dumps(row, separators=(",", ":")))
        else:
            size = f"{row['bytes'] / 1e6:.0f} MB"
            where = row["path"] if row["state"] != "missing" else "-"
            _print(f"{row['name']:8} {row['backend']:8} {size:>9}  {row['state']:9}  {where}")


def _rows(root: Path) -> Iterator[dict[str, Any]]:
    for backend in RUNTIMES:
        try:
            folder = resolve(BUILT_IN, backend).directory
        except (ModelMissingError, UsageError):
            continue
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        row = {"name": BUILT_IN, "backend": backend, "bytes": size, "done_bytes": size}
        yield row | {"state": "built in", "path": str(folder)}
    for wanted in published():
        state, done = state_of(wanted, root)
        row = {"name": wanted.name, "backend": wanted.backend, "bytes": wanted.size}
        yield row | {"done_bytes": done, "state": state, "path": str(root / wanted.folder)}


@models.command()
@_name
@_backend
@_models_dir
@told
def path(*, name: str, backend: str, models_dir: Path | None) -> None:
    """Print the folder of an installed model.

    NAME is v3, v2, 110m or tiny-en. Exit code 20 if it is not installed, 21 if it is damaged.
    """
    _print(str(resolve(name, _chosen(backend), models_dir).directory))


def _chosen(backend: str) -> str:
    return auto_backend() if backend == "auto" else backend


# Getting, checking, removing


@models.command(short_help="Download a model, or go on with it.")
@_name
@_backend
@_models_dir
@_quiet
@told
def download(*, name: str, backend: str, models_dir: Path | None, quiet: bool) -> None:
    """Download a model, or go on where the last download stopped.

    NAME is v3 (25 languages), v2 or 110m (English). Every byte is verified before the model
    counts as installed; one that is installed is verified again, and repaired if damaged. Ctrl-C
    loses nothing: run the same command again.

    Progress is a bar where stderr is a terminal, else one JSON line a second on stdout.

    \b
    Exit codes: 0 installed · 24 network, hub or mirror failed · 31 disk full or not writable
    """  # noqa: D301  click's mark for text that keeps its lines
    chosen = _chosen(backend)
    if name == BUILT_IN:
        _say(f"{name} is built in: {resolve(name, chosen).directory}")
        return
    wanted = shipped(name, chosen)
    with _stoppable(), progress(f"{name} {chosen}", "download", wanted.size, quiet) as show:
        model = install(wanted, models_dir, limits=Limits(), on_progress=show)
        show(wanted.size)
    _say(f"{name} for {chosen} is installed in {model.directory}")


@models.command("verify", short_help="Compare every byte of a model with its SHA-256.")
@_name
@_backend
@_models_dir
@_quiet
@told
def verify_(*, name: str, backend: str, models_dir: Path | None, quiet: bool) -> None:
    """Read every byte of an installed model and compare it with the published SHA-256.

    Exit code 20 if it is not installed, 21 if a file differs: `models download` repairs it.
    Nothing is deleted.
    """
    chosen = _chosen(backend)
    if name == BUILT_IN:
        _say(f"{name} is built in, and as whole as this program: {resolve(name, chosen).directory}")
        return
    wanted = shipped(name, chosen)
    with _stoppable(), progress(f"{name} {chosen}", "verify", wanted.size, quiet) as show:
        model = verify(name, chosen, models_dir, on_bytes=Counter(show).add)
    _say(f"{name} for {chosen} is whole: {model.directory}")


@models.command("remove", short_help="Remove a downloaded model.")
@_name
@_backend
@_models_dir
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@told
def remove_(*, name: str, backend: str, models_dir: Path | None, yes: bool) -> None:
    """Remove a downloaded model, and what an interrupted download left of it.

    NAME is v3, v2 or 110m. Only folders that `models download` made are ever removed.
    """
    if name == BUILT_IN:
        raise UsageError(f"{name} is built in and cannot be removed")
    wanted = shipped(name, _chosen(backend))
    root = absolute(models_dir or default_models_dir())
    if not is_removable(wanted, root):
        raise ModelMissingError(f"model '{name}' is not installed for backend '{wanted.backend}'")
    if not (yes or _agreed(f"Remove {root / wanted.folder}?")):
        _say("Nothing is removed")
        return
    remove(wanted, root)
    _say(f"{name} for {wanted.backend} is removed")


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        raise UsageError("nobody answered", "use --yes to remove without being asked") from error


def _say(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _stoppable() -> Iterator[None]:
    """End at once on SIGINT and SIGTERM, even where a shell made the child ignore them."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the handler's form
        raise click.exceptions.Exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except click.exceptions.Exit:
        _say("Stopped. What has arrived is kept: run the same command again to go on")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Progress


class Counter:
    """Adds up, and passes the sum on."""

    def __init__(self, show: Callable[[int], None]) -> None:
        self._show, self._sum = show, 0

    def add(self, count: int) -> None:
        """Add `count` and pass on the sum."""
        self._sum += count
        self._show(self._sum)


@contextmanager
def progress(label: str, what: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:  # noqa: FBT001  a switch of the user
    """Give a function that is told how many bytes are done; it shows them now and then."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        bar = functools.partial(_bar, label, total, time.monotonic())
        yield _Paced(bar, total, seconds=0.1)
        click.echo(err=True)
    else:
        yield _Paced(functools.partial(_line, what, total), total, seconds=1.0)


class _Paced:
    """Calls a function at most once every so many seconds, and once for the last byte."""

    def __init__(self, show: Callable[[int], None], total: int, *, seconds: float) -> None:
        self._show, self._total, self._seconds = show, total, seconds
        self._next, self._shown = 0.0, -1

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if done != self._shown and (now >= self._next or done == self._total):
            self._next, self._shown = now + self._seconds, done
            self._show(done)


def _line(what: str, total: int, done: int) -> None:
    line = {"type": "progress", "what": what, "done_bytes": done, "total_bytes": total}
    _print(json.dumps(line, separators=(",", ":")))


def _bar(label: str, total: int, since: float, done: int) -> None:
    width = 24
    full = width * done // total
    rate = done / max(time.monotonic() - since, 0.001) / 1e6
    bar = "#" * full + "-" * (width - full)
    figures = f"{done / 1e6:.0f}/{total / 1e6:.0f} MB  {rate:.1f} MB/s"
    click.echo(f"\r{label} [{bar}] {100 * done // total:3d} %  {figures} ", nl=False, err=True)
