"""The `bench` command: compare backends over many recordings."""

import hashlib
import importlib.util
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from parakeet_coreml import __version__
from parakeet_coreml.backends.base import COMPUTE_UNITS
from parakeet_coreml.backends.registry import ENTRIES, NAMES
from parakeet_coreml.errors import UsageError
from parakeet_coreml.host import stdio
from parakeet_coreml.selection import ModelSelection
from parakeet_coreml.store.files import sha256
from parakeet_coreml.store.locate import auto_backend

if TYPE_CHECKING:  # they need the extra
    from parakeet_coreml.bench.plan import Task, Variant
    from parakeet_coreml.bench.results import Results

PACKAGES = ("jinja2", "jiwer", "matplotlib", "psutil", "whisper_normalizer")
"""Of the extra `bench`."""


@click.group(
    "bench",
    short_help="Record many sounds on every backend, and compare.",
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": "PARAKEET_COREML_BENCH", "show_default": True},
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with sound and a TSV or JSONL of words.  [default: the bundled set]",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("bench"), help="Results.")
@click.option(
    "--backend", "backends", multiple=True, type=click.Choice(NAMES), help="May be given again."
)
@click.option("--model", "models", multiple=True, default=["tiny-en"], help="May be given again.")
@click.option(
    "--models-dir", metavar="DIR", help="Where models are stored.  [default: user-data folder]"
)
@click.option(
    "--compute-units",
    "units",
    multiple=True,
    type=click.Choice(COMPUTE_UNITS),
    help="For coreml; may be given again.",
)
@click.option("--limit", type=click.IntRange(1), help="So many recordings, drawn by the seed.")
@click.option("--live", type=click.IntRange(0), default=0, help="So many also in real time.")
@click.option("--warmups", type=click.IntRange(1), default=1, help="Runs before, for each variant.")
@click.option("--seed", type=int, default=1234, help="Of the draw, the order and the intervals.")
@click.option("--normaliser", type=click.Choice(["english", "basic"]), default="english")
@click.pass_context
def bench(context: click.Context, /, **options: Any) -> int:  # noqa: ANN401  click checks them
    """Spawn the recorder for many recordings on every backend, and report words, times, memory.

    The words are in one file of the data folder: TSV with the columns path and text, or JSONL with
    such keys; NeMo's audio_filepath, offset and duration are known too. The bundled set is the
    sample of 31 s, cut into its twelve sentences: six commands of a synthetic voice and six
    numbers of a person. It shows that all of it works; to compare backends, take hundreds.

    An interrupted bench goes on where it was when it is started again with the same options.

    \b
    parakeet-coreml bench --data recordings --backend onnx --backend mlx --live 20
    parakeet-coreml bench compare before after
    """  # noqa: D301  \b is click's
    _require()
    if context.invoked_subcommand is not None:
        return 0
    return _measure(options)


@bench.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
def compare(*, a: Path, b: Path) -> int:
    """Set two benches side by side; A and B are what was given as --out."""
    from parakeet_coreml.bench import results  # noqa: PLC0415  needs the extra
    from parakeet_coreml.bench.compare import compare as compared  # noqa: PLC0415  likewise
    from parakeet_coreml.bench.scoring import Scorer  # noqa: PLC0415  likewise

    first, second = results.load(a), results.load(b)
    click.echo(compared(first, second, Scorer(first.plan["what"]["normaliser"])))
    return 0


def _require() -> None:
    """Raise `UsageError` where the extra is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"bench needs packages that are not installed: {', '.join(missing)}",
            "in a Python environment: pip install 'parakeet-coreml[bench]'",
        )


def _check(backends: Sequence[str]) -> None:
    """Raise `UsageError` where a backend's package is absent; off a Mac Core ML needs none."""
    for name in backends:
        package = ENTRIES[name].package
        if name != "coreml" and package and importlib.util.find_spec(package) is None:
            raise UsageError(
                f"the backend {name} needs a package: {package}", ENTRIES[name].install
            )


def _measure(options: dict[str, Any]) -> int:
    from parakeet_coreml.bench import data, plan, report, results  # noqa: PLC0415  the extra
    from parakeet_coreml.bench.machine import describe  # noqa: PLC0415  likewise
    from parakeet_coreml.bench.run import program  # noqa: PLC0415  likewise
    from parakeet_coreml.bench.scoring import Scorer  # noqa: PLC0415  likewise

    folder, seed = options["data"] or data.BUNDLED, options["seed"]
    utterances = data.read(
        folder, limit=options["limit"], seed=seed, english=options["normaliser"] == "english"
    )
    backends = options["backends"] or (auto_backend(),)
    _check(backends)
    chosen = plan.variants(backends, options["models"], options["units"])
    todo = plan.tasks(
        chosen, utterances, live=options["live"], warmups=options["warmups"], seed=seed
    )
    stated = {name: value for name, value in options.items() if name not in {"data", "out"}}
    about = {
        "what": {
            **stated,
            "version": __version__,
            "data": str(folder.resolve()),
            "names": [u.name for u in utterances],
        },
        "command": shlex.join(["parakeet-coreml", *sys.argv[1:]]),
        "data": options["data"].name if options["data"] else "the bundled set",
        "machine": describe(),
        "models": {variant.name: _hashes(variant, options["models_dir"]) for variant in chosen},
    }
    found = results.begin(options["out"], about)
    recorder = program()
    if options["models_dir"]:
        recorder = ["env", f"PARAKEET_COREML_MODELS_DIR={options['models_dir']}", *recorder]
    _work_off([task for task in todo if task.key not in found.keys], found, recorder)
    failed = sum(row["exit_code"] != 0 for row in found.measured)
    if failed:
        stdio.say(f"Warning: {failed} of {len(found.measured)} runs failed; the report says why")
    files = report.write(found, options["out"], Scorer(options["normaliser"]))
    click.echo("\n".join(map(str, files)))
    return 0


def _work_off(waiting: Sequence["Task"], found: "Results", recorder: Sequence[str]) -> None:
    """Make the runs that are not there yet; Ctrl-C ends it between two rows."""
    from parakeet_coreml.bench.run import run  # noqa: PLC0415  the extra

    done = len(found.rows)
    _progress(done, done + len(waiting), "resumed" if found.rows else "")
    began, total = time.monotonic(), sum(task.seconds for task in waiting)
    passed = 0.0
    signal.signal(signal.SIGINT, _abort)
    try:
        for number, task in enumerate(waiting, start=done + 1):
            found.add(run(task, recorder))
            passed += task.seconds
            left = (time.monotonic() - began) * (total - passed) / passed
            _progress(number, done + len(waiting), f"{left / 60:.1f} min left")
    except click.Abort:
        stdio.say("Interrupted; the same command goes on from here")
        raise


def _abort(_number: int, _frame: FrameType | None) -> NoReturn:
    raise click.Abort


def _hashes(variant: "Variant", models_dir: str | None) -> dict[str, str]:
    """Return the SHA-256 of each of a model's files, and find out whether it is here at all."""
    chosen = ModelSelection(variant.model, models_dir, variant.backend, variant.units)
    directory = Path(chosen.spec().directory)
    if directory.is_file():
        return {directory.name: sha256(directory)}
    # The layout asks for no Encoder, for the 110M model has none; it counts where it is there.
    optional = ("Encoder.mlmodelc", "Encoder.mlpackage") if variant.backend == "coreml" else ()
    names = (*optional, *chain.from_iterable(ENTRIES[variant.backend].layout))
    return {name: _hash(directory / name) for name in names if (directory / name).exists()}


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of its files' names and hashes."""
    if path.is_file():
        return sha256(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    lines = (f"{each.relative_to(path)} {sha256(each)}\n" for each in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _progress(done: int, total: int, note: str) -> None:
    stdio.say(f"{done} of {total}" + (f", {note}" if note else ""))
