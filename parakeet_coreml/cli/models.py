"""The `models` commands: what is installed, and getting, checking and removing it."""

import functools
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

import click

from parakeet_coreml.backends.registry import RUNTIMES
from parakeet_coreml.checks.fit import misfit
from parakeet_coreml.cli.options import completing
from parakeet_coreml.cli.progress import Counter, print_line, progress, size_text
from parakeet_coreml.errors import ModelMissingError, OutputLostError, ParakeetError, UsageError
from parakeet_coreml.store.files import size_of
from parakeet_coreml.store.http import Limits, origin
from parakeet_coreml.store.install import install, is_removable, remove
from parakeet_coreml.store.locate import (
    BUILT_IN,
    absolute,
    auto_backend,
    default_models_dir,
    resolve,
)
from parakeet_coreml.store.manifest import Manifest, published, shipped
from parakeet_coreml.store.state import state_of
from parakeet_coreml.store.verify import verify

_P = ParamSpec("_P")
_R = TypeVar("_R")


def reported(function: Callable[_P, _R]) -> Callable[_P, _R]:
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


_name = click.argument("name", metavar="NAME", shell_complete=completing("downloads"))
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
    help="Folder that models are stored in; default: the platform's folder for user data.",
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


@models.command("list", short_help="Show every model, and what fits this machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@_models_dir
@reported
def list_(*, as_json: bool, models_dir: Path | None) -> None:
    """Show every model: name, backend, encoder, size, state, whether it fits here, folder.

    The states: installed, partial (a download was interrupted: `models download` goes on with it),
    damaged, missing. Names and sizes are looked at, no contents: that is `models verify`. What does
    not fit this machine, and what is wrong with an encoder, is written below the table, on stderr.
    """
    root = absolute(models_dir or default_models_dir())
    rows = [*_rows(root)]
    try:
        if not as_json:
            print_line(_TABLE.format(*_HEADINGS))
        for row in rows:
            print_line(json.dumps(asdict(row), separators=(",", ":")) if as_json else row.to_text())
    except OutputLostError as error:
        if isinstance(error.__cause__, BrokenPipeError):  # `| head`: whoever reads has enough
            raise click.exceptions.Exit(error.exit_code) from error
        raise
    if not as_json:
        for note in dict.fromkeys(row.note for row in rows if row.note):
            _say(note)


_HEADINGS = ("NAME", "BACKEND", "ENCODER", "SIZE", "STATE", "HERE", "FOLDER")
_TABLE = "{:8} {:8} {:8} {:>8}  {:9} {:4}  {}"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `models list`; the fields are the keys of its JSON object."""

    name: str
    backend: str
    encoder: str
    """How the encoder's weights are stored; empty where nobody knows."""
    flaw: str
    """What is wrong with the published files; empty where nothing is known."""
    bytes: int
    done_bytes: int
    state: str
    path: str
    misfit: str
    """Why it is not for this machine; empty if it is."""

    @property
    def note(self) -> str:
        """What a person should know before choosing it; empty if nothing."""
        if self.misfit:
            return f"Not here, {self.backend}: {self.misfit}"
        return f"{self.name} {self.backend}: {self.flaw}" if self.flaw else ""

    def to_text(self) -> str:
        """Return the line of the table."""
        size = size_text(self.bytes)
        where = self.path if self.state != "missing" else "-"
        here = "no" if self.misfit else "yes"
        encoder = self.encoder or "-"
        return _TABLE.format(self.name, self.backend, encoder, size, self.state, here, where)


def _rows(root: Path) -> Iterator[Row]:
    for backend in RUNTIMES:
        try:
            folder = resolve(BUILT_IN, backend).directory
        except (ModelMissingError, UsageError):
            continue
        size = size_of(folder)
        why = misfit(backend, size, published=False)
        yield Row(BUILT_IN, backend, "", "", size, size, "built in", str(folder), why)
    for wanted in published():
        state, done = state_of(wanted, root)
        yield Row(
            wanted.name,
            wanted.backend,
            wanted.encoder,
            wanted.flaw,
            wanted.size,
            done,
            state,
            str(root / wanted.folder),
            misfit(wanted.backend, wanted.size, published=True),
        )


@models.command()
@_name
@_backend
@_models_dir
@reported
def path(*, name: str, backend: str, models_dir: Path | None) -> None:
    """Print the folder of an installed model.

    NAME is v3, v3-int8, v2, 110m or tiny-en. Exit code 20 if it is not installed, 21 if it is
    damaged.
    """
    print_line(str(resolve(name, _chosen(backend), models_dir).directory))


def _chosen(backend: str) -> str:
    return auto_backend() if backend == "auto" else backend


# Getting, checking, removing


@models.command(short_help="Download a model, or go on with it.")
@_name
@_backend
@_models_dir
@_quiet
@reported
def download(*, name: str, backend: str, models_dir: Path | None, quiet: bool) -> None:
    """Download a model, or go on where the last download stopped.

    NAME is v3 or v3-int8 (25 languages), v2 or 110m (English). Every byte is verified before the
    model counts as installed; one that is installed is verified again, and repaired if damaged.
    Ctrl-C loses nothing: run the same command again. Files that another model has are not fetched.

    Progress is a bar where stderr is a terminal, else one JSON line a second on stdout.

    \b
    Exit codes: 0 installed · 24 network, hub or mirror failed · 31 disk full or not writable
    """  # noqa: D301  click's mark for text that keeps its lines
    chosen = _chosen(backend)
    if name == BUILT_IN:
        _say(f"{name} is built in: {resolve(name, chosen).directory}")
        return
    wanted = shipped(name, chosen)
    root = absolute(models_dir or default_models_dir())
    tell = (lambda _: None) if quiet else _say
    tell(announcement(wanted, root))
    with _stoppable(), progress(f"{name} {chosen}", "download", wanted.size, quiet) as show:
        model = install(wanted, models_dir, limits=Limits(), on_progress=show, tell=tell)
        show(wanted.size)
    _say(f"{name} for {chosen} is installed in {model.directory}")


def announcement(wanted: Manifest, root: Path) -> str:
    """Return what a download is about to do: what, how large, from where, whereto.

    Raises `UsageError` for a mirror that will not do, `StorageError` if the folder cannot be read.
    """
    state, done = state_of(wanted, root)
    what = f"{wanted.name} for {wanted.backend}"
    size = size_text(wanted.size)
    if state == "installed":
        return f"{what} is in {root / wanted.folder}; reading its {size}"
    here = f", {size_text(done)} of it here already" if done else ""
    return f"Downloading {what}: {size}{here}, from {origin()} into {root / wanted.folder}"


@models.command("verify", short_help="Compare every byte of a model with its SHA-256.")
@_name
@_backend
@_models_dir
@_quiet
@reported
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
    resolve(name, chosen, models_dir)  # what is not there has no progress
    with _stoppable(), progress(f"{name} {chosen}", "verify", wanted.size, quiet) as show:
        model = verify(name, chosen, models_dir, on_bytes=Counter(show).add)
    _say(f"{name} for {chosen} is whole: {model.directory}")


@models.command("remove", short_help="Remove a downloaded model.")
@_name
@_backend
@_models_dir
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@reported
def remove_(*, name: str, backend: str, models_dir: Path | None, yes: bool) -> None:
    """Remove a downloaded model, and what an interrupted download left of it.

    NAME is v3, v3-int8, v2 or 110m. Only folders that `models download` made are ever removed.
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
