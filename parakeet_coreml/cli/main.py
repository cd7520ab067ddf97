"""The command line: parse, wire, exit codes. Decides nothing about audio."""

import errno
import json
import os
import sys
from typing import Any, NoReturn

import click

from parakeet_coreml import __version__
from parakeet_coreml.cli.options import (
    SETTINGS,
    Recording,
    blame_variable,
    device_option,
    json_option,
    model_options,
    recording_options,
    suspects,
)
from parakeet_coreml.errors import OutputLostError, ParakeetError, UsageError
from parakeet_coreml.host import stdio
from parakeet_coreml.host.leave import die, leave
from parakeet_coreml.timing import Waterfall

EXIT_CODES = """\b
Exit codes:
  0  ok, also when nobody spoke      20  model missing
  1  internal error                  21  model corrupt
  2  wrong usage, unreadable input   22  model will not load
 10  no microphone                   23  backend failed
 11  microphone silent               24  download failed
 12  microphone lost                 30  output lost
 13  transcription too far behind    31  disk error
 40  did not end when asked to       130, 143  left at once
"""


LATE = ("waterfall", "bench")
"""What one wants to know of many recordings."""


MEANT = {
    **dict.fromkeys(("transcribe", "dictate", "listen", "start", "mic"), "progressive-record"),
    **{name: f"models {name}" for name in ("download", "list", "verify", "path", "remove")},
    **{name: f"--{name}" for name in ("help", "version")},
    "microphones": "devices",
}
"""What people type at first, and what they mean."""


class Commands(click.Group):
    """Commands that are imported when they are used, for each brings its own libraries."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order of a first use."""
        return ["progressive-record", "devices", "models", "warm", "doctor", "schema", *LATE]

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of that name."""
        if name == "models":
            from parakeet_coreml.cli import models  # noqa: PLC0415  see the class

            return models.models
        if name == "waterfall":
            from parakeet_coreml.cli import waterfall  # noqa: PLC0415  see the class

            return waterfall.waterfall
        if name == "bench":
            from parakeet_coreml.cli import bench  # noqa: PLC0415  see the class

            return bench.bench
        return self.commands.get(name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what is left; of an option that only a recording has, say where it belongs."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            recording = self.commands["progressive-record"]
            if any(error.option_name in parameter.opts for parameter in recording.params):
                ctx.fail(
                    f"'{error.option_name}' belongs behind a command: "
                    f"{ctx.command_path} progressive-record {error.option_name} …"
                )
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; for a slip, say which it may be."""
        name, known = args[0], self.list_commands(ctx)
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from difflib import get_close_matches  # noqa: PLC0415  only for a slip

            near = [each for each in known if name in each.split("-")]
            near = near or [MEANT[word] for word in (name,) if word in MEANT]
            near = near or get_close_matches(name, known, 1)
            ctx.fail(f"No such command '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)


COMPLETE = "_PARAKEET_COREML_COMPLETE"
"""Where click looks for the shell that asks for completions."""
COMPLETIONS = [
    f"{shell}_{what}" for shell in ("bash", "zsh", "fish") for what in ("source", "complete")
]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="parakeet-coreml", message="%(prog)s %(version)s")
def main() -> None:
    """Dictation engine: microphone to words, as JSON lines, while the person still speaks.

    \b
    parakeet-coreml progressive-record --model tiny-en --input speech.wav
    parakeet-coreml progressive-record --model tiny-en --format text
    """  # noqa: D301  \b is click's


@main.command(
    "progressive-record",
    cls=Recording,
    short_help="Record and transcribe, a JSON line per chunk.",
    epilog=EXIT_CODES,
    context_settings=SETTINGS,
)
@recording_options
@click.pass_obj
def progressive_record(waterfall: Waterfall, /, t0: float | None, **settings: Any) -> int:  # noqa: ANN401  click checks them
    """Record and transcribe until stopped; one JSON line per chunk on stdout.

    Stop with a line `stop` on stdin, by closing stdin, or with Ctrl-C: what was spoken is still
    transcribed, and the last line is always `done`. `cancel` or a second Ctrl-C leaves at once.

    Every option can be set in the environment: --chunk-seconds as PARAKEET_COREML_CHUNK_SECONDS.
    """
    from parakeet_coreml.recording.options import Options  # noqa: PLC0415  not for --help
    from parakeet_coreml.recording.session import record  # noqa: PLC0415  likewise

    if t0 is not None:
        if not t0 < float("inf"):  # NaN passes a range
            raise click.BadParameter(f"{t0} is no time.", param_hint="'--t0'")
        waterfall.key(t0)
    return record(Options(**settings), waterfall=waterfall)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
def devices(*, as_json: bool) -> int:
    """List the microphones; * marks the default one."""
    from dataclasses import asdict  # noqa: PLC0415  only here

    from parakeet_coreml.audio.devices import list_devices  # noqa: PLC0415  PortAudio only here

    found = list_devices()
    if as_json:
        click.echo(json.dumps([asdict(device) for device in found]))
        return 0
    from parakeet_coreml.protocol.json_lines import plain  # noqa: PLC0415  only here

    if not found:
        stdio.say("No microphone is there; connect one, or start the audio server")
    for device in found:
        mark = "*" if device.is_default else " "
        click.echo(
            f"{mark} {device.index:3}  {plain(device.name)}  "
            f"({device.channels} ch, {device.rate:g} Hz, {plain(device.host_api)})"
        )
    return 0


@main.command(context_settings=SETTINGS, short_help="Load a model once and say what that takes.")
@model_options
@json_option
def warm(*, as_json: bool, **chosen: Any) -> int:  # noqa: ANN401  click checks them
    """Load a model and run it twice on noise, and say what that took.

    The first load of a Core ML model compiles it, which is kept: run this after `models download`
    and the first recording starts at once. Ends with the exit code a recording would.

    \b
    --json prints one object, values null where it did not come to them:
      schema             1; new keys do not change it
      exit_code          0, or as `error` says
      backend, model, compute_units, runtime, directory
      load_ms            loading, as a recording's `ready` line reports it
      ready_ms           from the start of its process until it is loaded
      window_ms          length of the noise
      first_window_ms, second_window_ms
      restarts           processes that had to be replaced
      error              null, or code, message, hint
    """  # noqa: D301  \b is click's
    from parakeet_coreml.checks.warm import warm as run_warm  # noqa: PLC0415  likewise
    from parakeet_coreml.selection import ModelSelection  # noqa: PLC0415  not for --help

    report = run_warm(ModelSelection(**chosen))
    if report.error is not None:
        stdio.say(f"Error: {report.error['message']}\n{report.error['hint']}".rstrip())
    _show(report.to_json() if as_json else report.to_text() if report.error is None else "")
    return report.exit_code


@main.command(
    context_settings=SETTINGS, short_help="Say what is here, what is wrong, and the cure."
)
@model_options
@device_option
@click.option(
    "--verify", is_flag=True, allow_from_autoenv=False, help="Read and hash every model file."
)
@json_option
@click.option("--probe", hidden=True, allow_from_autoenv=False)
def doctor(
    *,
    device: tuple[str, ...],
    verify: bool,
    as_json: bool,
    probe: str | None,
    **chosen: Any,  # noqa: ANN401  click checks them
) -> int:
    """Say what is here to record with, what is wrong, and the cure.

    Exit code 0 if a recording from the microphone with these options would work, else the one it
    would end with. Opens no microphone and no socket and writes no file; whether the system lets
    this program listen only a recording can show, and whether a model loads, `warm`.

    \b
    --json prints one object:
      schema         1; new keys do not change it
      exit_code      0 if a recording would work
      version        of parakeet-coreml
      python         version, implementation, executable, frozen
      system         system, release, machine, macos, cores
      libraries      version by name, null if absent
      selected       model, backend, compute_units, device, models_dir
      backends       [name, chosen, runs, runtime, reason, cure]
      compute_units  choices, selected, used, neural_engine
      devices        [index, name, host_api, channels, rate, is_default]
      models         [name, backend, chosen, state, bytes, done_bytes, path, encoder, flaw,
                     verified, files: [path, bytes, sha256, ok], with --verify]
      paths          program, package, built_in_model, models_dir
      caches         [what, path, bytes]
      environment    our variables that are set
      problems       [code, exit_code, message, cure, blocking]
    """  # noqa: D301  \b is click's
    from parakeet_coreml.checks import doctor as examination  # noqa: PLC0415  not for --help
    from parakeet_coreml.selection import ModelSelection  # noqa: PLC0415  likewise

    if probe is not None:
        from parakeet_coreml.checks.probes import answer  # noqa: PLC0415  likewise

        _show(answer(probe))
        return 0
    report = examination.examine(ModelSelection(**chosen), device, verify=verify)
    _show(report.to_json() if as_json else report.to_text())
    return report.exit_code


@main.command(short_help="Print the JSON Schema of every line.")
@click.option(
    "--typescript", "as_typescript", is_flag=True, help="TypeScript declarations instead."
)
def schema(*, as_typescript: bool) -> int:
    """Print the JSON Schema of every line that a recording writes."""
    from parakeet_coreml.protocol.schema import json_schema, typescript  # noqa: PLC0415  only here

    click.echo(typescript() if as_typescript else json.dumps(json_schema(), indent=2))
    return 0


def _show(found: dict[str, object] | str) -> None:
    """Print a report: a JSON object on one line, or text."""
    from parakeet_coreml.protocol.json_lines import encode  # noqa: PLC0415  not for --help

    if isinstance(found, dict):
        click.echo(encode(found), nl=False)
    elif found:
        click.echo(found)


def completing() -> str:
    """Return what a shell asks of its completions, which are ours then; nothing where none asks."""
    asked = os.environ.get(COMPLETE, "")
    if asked:
        from parakeet_coreml.cli import shells  # noqa: PLC0415  only for a shell

        shells.register()
    return asked


def run(waterfall: Waterfall) -> NoReturn:
    """Run the command line and leave with its exit code; never a traceback for a user's error."""
    sys.excepthook = die
    asked = completing()
    try:
        code = main.main(obj=waterfall, prog_name="parakeet-coreml", standalone_mode=False)
    except click.ClickException as error:
        blame_variable(error)
        error.show(sys.stderr)
        code = error.exit_code
    except click.Abort:
        code = 130
    except ParakeetError as error:
        stdio.say("\n".join(filter(None, (f"Error: {error.message}", error.hint))))
        if isinstance(error, UsageError):
            for line in suspects(f"{error.message} {error.hint}", sys.argv, os.environ):
                stdio.say(line)
        code = error.exit_code
    except OSError as error:  # help or a table for a full disk, completions that nobody reads
        if error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        code = OutputLostError.exit_code
    except SystemExit as end:  # completions were printed, or else nobody reads the pipe
        code = OutputLostError.exit_code if end.code else 0
        if asked and asked not in COMPLETIONS:
            stdio.say(f"Error: {COMPLETE} is {asked!r}; it may be {', '.join(COMPLETIONS)}")
            code = click.UsageError.exit_code
    leave(code if isinstance(code, int) else 0)
