"""How a recording ends: facts in, orders out. Pure; whatever decides an end is decided here.

`Ending` is a value. `Ending.on(fact)` gives the next value and the orders to carry out, in order.
`session` turns what happens on its threads into facts and carries the orders out; it decides
nothing. `TABLE` is the whole of it: the first row whose phase, fact and condition fit counts, and
where none does nothing is ordered. What a fact leaves behind in any phase (`_noted`): the first
reason counts, the first failure sets the exit code, and a user who leaves overrules both.

    recording ──stop──▶ stopping ──finished──▶ draining ──drained──▶ left
        └──────────────finished───────────────────▲
    any of the three ──aborted, reader lost──▶ left at once
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from parakeet_coreml.errors import OutputLostError

CAPTURE_LIMIT = 15.0
"""Seconds a source may take to end after a stop."""

STUCK_LIMIT = 720.0
"""Seconds without any movement after a stop; above every limit that has an error of its own."""


BY_HAND = frozenset({"stop", "stdin_eof", "sigint", "sigterm", "sighup", "sigalrm"})
"""Reasons that are somebody's hand, which is faster than the mouth: the tail of `--tail-ms`."""


class Phase(StrEnum):
    """How far the end has come."""

    RECORDING = "recording"
    STOPPING = "stopping"
    """A stop was requested; the rest is transcribed."""
    DRAINING = "draining"
    """`done` is on its way to the reader."""
    LEFT = "left"
    """Nothing is to be done any more."""


class Order(StrEnum):
    """What is to be carried out."""

    STOP_SOURCE = "stop source"
    KILL_WORKER = "kill worker"
    SAY_DEADLINE = "say that nothing moves"
    WRITE_DONE = "write done"
    DRAIN = "wait for the reader"
    FLUSH = "give the reader a moment"
    SAY_UNREAD = "say that text is lost"
    SAY_READER_LOST = "say that nobody reads"
    REFUSE = "refuse the call"
    LET_GO = "close everything"
    LEAVE = "leave at once"


class Selected(NamedTuple):
    """The model's files are found; `compiles` if loading may compile it for minutes."""

    compiles: bool


class Stop(NamedTuple):
    """Somebody wants the recording to end in order; `now` is on the monotonic clock."""

    reason: str
    now: float


class Failed(NamedTuple):
    """Something went wrong: the error's name and exit code. It ends nothing by itself."""

    name: str
    exit_code: int


class Captured(NamedTuple):
    """The source has ended, and nothing more will be captured."""


class NothingToDecode(NamedTuple):
    """All audio is there, and none of it has to go through the model."""


class Finished(NamedTuple):
    """All that could be transcribed has been written."""


class Refused(NamedTuple):
    """The call turned out to be wrong before the protocol began."""


class Drained(NamedTuple):
    """The reader took everything, or was waited for long enough; `whole` says which."""

    whole: bool


class ReaderLost(NamedTuple):
    """Nobody reads stdout any more."""


class Aborted(NamedTuple):
    """The user wants to leave now."""

    exit_code: int


class Tick(NamedTuple):
    """Time passes: the monotonic clock, and seconds since anything moved."""

    now: float
    idle: float


Fact = (
    Selected | Stop | Failed | Captured | NothingToDecode | Finished | Refused
    | Drained | ReaderLost | Aborted | Tick
)  # fmt: skip


class Ending(NamedTuple):
    """What is known about the end of one recording."""

    live: bool = True
    """The source plays at its own pace: only such a one can hang."""
    compiles: bool = False
    """As `Selected` says: a kill would lose the minutes."""
    phase: Phase = Phase.RECORDING
    reason: str | None = None
    exit_code: int = 0
    stopped_at: float | None = None
    captured: bool = False
    nothing_to_decode: bool = False

    def on(self, fact: Fact) -> tuple["Ending", tuple[Order, ...]]:
        """Return what is known after a fact, and what is to be done about it."""
        if self.phase is Phase.LEFT:
            return self, ()
        noted = _noted(self, fact)
        for rule in TABLE:
            if self.phase in rule.phases and isinstance(fact, rule.fact) and rule.when(noted, fact):
                return noted._replace(phase=rule.then or self.phase), rule.orders
        return noted, ()

    @property
    def needs_no_model(self) -> bool:
        """Whether it does not matter any more what becomes of the model."""
        return self.reason is not None and self.nothing_to_decode


def _noted(ending: Ending, fact: Fact) -> Ending:
    """Return the ending with what the fact says, whatever phase it is in."""
    match fact:
        case Selected(compiles):
            noted = ending._replace(compiles=compiles)
        case Stop(reason, now):
            since = now if ending.stopped_at is None else ending.stopped_at
            noted = ending._replace(reason=ending.reason or reason, stopped_at=since)
        case Failed(name, code):
            first = ending.exit_code or code
            noted = ending._replace(reason=ending.reason or name, exit_code=first)
        case Aborted(code):
            noted = ending._replace(reason="cancel", exit_code=code)
        case ReaderLost() | Drained(whole=False):
            noted = ending._replace(exit_code=OutputLostError.exit_code)
        case Captured():
            noted = ending._replace(captured=True)
        case NothingToDecode():
            noted = ending._replace(nothing_to_decode=True)
        case _:
            noted = ending
    return noted


def always(_ending: Ending, _fact: Fact) -> bool:
    """Return True: the row holds in any case."""
    return True


def nothing_left(ending: Ending, _fact: Fact) -> bool:
    """Return whether an end was asked for, nothing is to decode, and no compile would be lost."""
    return ending.needs_no_model and not ending.compiles


def hung(ending: Ending, fact: Fact) -> bool:
    """Return whether a live source does not end (15 s), or nothing at all moves (720 s)."""
    if not isinstance(fact, Tick) or ending.stopped_at is None:
        return False
    # A source that can wait is held up by a slow model, and that has limits of its own.
    capturing = ending.live and not ending.captured
    source_hangs = capturing and fact.now - ending.stopped_at > CAPTURE_LIMIT
    return source_hangs or fact.idle > STUCK_LIMIT


def unread(_ending: Ending, fact: Fact) -> bool:
    """Return whether not all was taken."""
    return isinstance(fact, Drained) and not fact.whole


class Rule(NamedTuple):
    """A row: in one of these phases, at this fact, if so, do that."""

    phases: tuple[Phase, ...]
    fact: type
    when: Callable[[Ending, Fact], bool]
    orders: tuple[Order, ...]
    then: Phase | None = None
    """The next phase; None stays."""


RUNNING = (Phase.RECORDING, Phase.STOPPING)
LISTENING = (*RUNNING, Phase.DRAINING)

TABLE = (
    Rule(RUNNING, Stop, nothing_left, (Order.STOP_SOURCE, Order.KILL_WORKER), Phase.STOPPING),
    Rule(RUNNING, Stop, always, (Order.STOP_SOURCE,), Phase.STOPPING),
    Rule(RUNNING, NothingToDecode, nothing_left, (Order.KILL_WORKER,)),
    Rule(
        (Phase.STOPPING,),
        Tick,
        hung,
        (Order.SAY_DEADLINE, Order.WRITE_DONE, Order.DRAIN),
        Phase.DRAINING,
    ),
    Rule(RUNNING, Refused, always, (Order.LET_GO, Order.REFUSE), Phase.LEFT),
    Rule(RUNNING, Finished, always, (Order.WRITE_DONE, Order.DRAIN), Phase.DRAINING),
    Rule((Phase.DRAINING,), Drained, unread, (Order.LET_GO, Order.SAY_UNREAD), Phase.LEFT),
    Rule((Phase.DRAINING,), Drained, always, (Order.LET_GO,), Phase.LEFT),
    Rule(
        LISTENING,
        ReaderLost,
        always,
        (Order.SAY_READER_LOST, Order.KILL_WORKER, Order.LEAVE),
        Phase.LEFT,
    ),
    Rule(
        RUNNING,
        Aborted,
        always,
        (Order.WRITE_DONE, Order.FLUSH, Order.KILL_WORKER, Order.LEAVE),
        Phase.LEFT,
    ),
    Rule(
        (Phase.DRAINING,),
        Aborted,
        always,
        (Order.FLUSH, Order.KILL_WORKER, Order.LEAVE),
        Phase.LEFT,
    ),
)


def table() -> str:
    """Return `TABLE` as Markdown, for docs/DESIGN.md; a test holds the two together."""
    rows = ["| in phase | fact | if | orders | then |", "|---|---|---|---|---|"]
    for rule in TABLE:
        said = (rule.when.__doc__ or "").splitlines()[0].rstrip(".")
        condition = "" if rule.when is always else said.removeprefix("Return whether ")
        cells = (
            ", ".join(rule.phases),
            f"`{rule.fact.__name__}`",
            condition,
            ", ".join(rule.orders),
            rule.then or "stays",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
