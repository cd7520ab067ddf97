"""The options of the commands, each once."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from parakeet_coreml.audio.samples import MAX_RATE, MIN_RATE, SAMPLE_RATE
from parakeet_coreml.backends.base import COMPUTE_UNITS
from parakeet_coreml.backends.registry import NAMES

_Command = TypeVar("_Command", bound=Callable[..., object])

PREFIX = "PARAKEET_COREML"

SETTINGS = {"auto_envvar_prefix": PREFIX, "show_default": True}
"""Of commands whose options can be set in the environment, as one variable for all of them."""

_Complete = Callable[[click.Context, click.Parameter, str], list[Any]]


def completing(name: str) -> _Complete:
    """Return what completes a value, loaded when a shell asks: `cli.completion` has it."""

    def ask(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
        from parakeet_coreml.cli import completion  # noqa: PLC0415  see the docstring

        complete: _Complete = getattr(completion, name)
        return complete(context, parameter, begun)

    return ask


_MODEL_OPTIONS = (
    click.option(
        "--model",
        default="v3",
        metavar="v3|v3-int8|v2|110m|tiny-en|DIR",
        shell_complete=completing("models"),
        help="Model; tiny-en is built in and understands little.",
    ),
    click.option(
        "--models-dir", metavar="DIR", help="Where models are stored.  [default: user-data folder]"
    ),
    click.option(
        "--backend",
        type=click.Choice(["auto", *NAMES]),
        default="auto",
        help="Who runs it; auto: coreml on an Apple-silicon Mac, onnx elsewhere.",
    ),
    click.option(
        "--compute-units",
        type=click.Choice(COMPUTE_UNITS),
        help="For coreml.  [default: cpu_and_ne; cpu_and_gpu on macOS 14]",
    ),
)

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    allow_from_autoenv=False,
    help="One JSON object instead of text.",
)


class Phrase(click.types.StringParamType):
    """A term or a name; in the environment one a line, since they have spaces."""

    envvar_list_splitter = "\n"


device_option = click.option(
    "--device",
    multiple=True,
    type=Phrase(),
    metavar="NAME|INDEX",
    shell_complete=completing("devices"),
    help="Microphone; part of its name will do. Of several the first that is there.",
)

_RECORDING_OPTIONS = (
    click.option(
        "--input",
        default="mic",
        metavar="mic|FILE|-",
        shell_complete=completing("inputs"),
        help="The microphone, a sound file or named pipe, or stdin: raw mono PCM or a sound file.",
    ),
    click.option("--realtime", is_flag=True, help="Play FILE at 1x, as a microphone would."),
    click.option(
        "--input-rate",
        type=click.IntRange(MIN_RATE, MAX_RATE),
        default=SAMPLE_RATE,
        metavar="HZ",
        help="Sample rate of raw PCM.",
    ),
    click.option(
        "--input-encoding",
        type=click.Choice(["s16le", "f32le"]),
        default="s16le",
        help="Encoding of raw PCM.",
    ),
    device_option,
    click.option(
        "--channel", default="mix", metavar="N|mix", help="Of several channels: one, or all mixed."
    ),
    *_MODEL_OPTIONS,
    click.option(
        "--vocabulary",
        metavar="FILE",
        help="Terms to prefer, one a line: term, term<TAB>weight, written = as it sounds.",
    ),
    click.option(
        "--phrase",
        multiple=True,
        type=Phrase(),
        metavar="TEXT",
        help="A term to prefer; repeatable.",
    ),
    click.option(
        "--boost", type=float, default=1.0, help="How strongly terms are preferred, 0 to 4."
    ),
    click.option(
        "--language", metavar="CODE", help="Keep to the script of a language, as pl; for v3."
    ),
    click.option(
        "--chunk-seconds", type=float, default=15.0, help="Audio behind one line, 5 to 120."
    ),
    click.option("--overlap-seconds", type=float, default=2.0, help="Audio two windows share."),
    click.option(
        "--max-seconds",
        type=float,
        help="Stop after this much audio.  [default: 14400; none for files]",
    ),
    click.option(
        "--chunk-at",
        type=click.Choice(["time", "pause"]),
        help="Where a line ends.  [default: time; pause for text on a terminal]",
    ),
    click.option("--pause-ms", type=int, default=600, help="Quiet that ends a line with `pause`."),
    click.option(
        "--auto-stop",
        type=float,
        metavar="SECONDS",
        help="End after so long without speech, once there was some.",
    ),
    click.option(
        "--tail-ms", type=int, default=0, help="Go on for so long after a stop, 0 to 1000."
    ),
    click.option("--no-speculation", is_flag=True, help="Never decode ahead of need."),
    click.option(
        "--t0",
        type=click.FloatRange(min=0),
        metavar="UNIX_MS",
        help="When the host's key was pressed, for `timing`.",
    ),
    click.option(
        "--events",
        default="",
        metavar="NAMES|all",
        shell_complete=completing("events"),
        help="More lines: hello, ready, level, speech, partial, state, warning, window, timing.",
    ),
    click.option("--meta", is_flag=True, help="More keys: times, backend, model, reason, account."),
    click.option("--words", is_flag=True, help="Words with times in each chunk."),
    click.option(
        "--format", type=click.Choice(["json", "text"]), default="json", help="Lines or text."
    ),
    click.option("--in-process", is_flag=True, help="No worker process."),
)


class Recording(click.Command):
    """A command whose help lists what is for debugging under a heading of its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and then those."""
        records = {p.name: p.get_help_record(ctx) for p in self.get_params(ctx)}
        debugging = records.pop("in_process", None)
        name, text = records["backend"] or ("", "")
        records["backend"] = name.replace("|scripted", ""), text
        with formatter.section("Options"):
            formatter.write_dl([record for record in records.values() if record])
        scripted = ("--backend scripted", "Words as a JSON script says, which --model names.")
        with formatter.section("For debugging and tests"):
            formatter.write_dl([scripted, *([debugging] if debugging else [])])


def model_options(command: _Command) -> _Command:
    """Give a command the options that say which model runs on what: `ModelSelection`."""
    return _with(command, _MODEL_OPTIONS)


def recording_options(command: _Command) -> _Command:
    """Give a command the options of one recording: `recording.options.Options`."""
    return _with(command, _RECORDING_OPTIONS)


def _with(command: _Command, options: Iterable[Callable[[_Command], _Command]]) -> _Command:
    """Return the command with options, which its help lists in their order."""
    for option in reversed([*options]):
        command = option(command)
    return command


# Where a wrong value came from


def blame_variable(error: click.ClickException) -> None:
    """Let an error name the environment's variable if it is that which holds the wrong value."""
    if not isinstance(error, click.BadParameter) or error.param is None or error.ctx is None:
        return
    name = error.param.name or ""
    if error.ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
        own = error.param.envvar
        error.param_hint = (
            own if isinstance(own, str) else f"{error.ctx.auto_envvar_prefix}_{name.upper()}"
        )


def suspects(text: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that the error `text` is about, by option or by value.

    Such errors come from parts that know options, and not where their values came from. An option
    that stands among the arguments has overruled its variable.
    """
    for variable, value in environment.items():
        option = "--" + variable.removeprefix(f"{PREFIX}_").lower().replace("_", "-")
        given = any(word == option or word.startswith(f"{option}=") for word in arguments)
        about = re.search(rf"(?<!\S){option}(?![\w-])", text) or (value and f"{value!r}" in text)
        if variable.startswith(f"{PREFIX}_") and not given and about:
            yield f"{variable} is set in the environment, to {value!a}"
