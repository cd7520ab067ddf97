"""Every order of facts up to length five, without a process."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from parakeet_coreml.recording.ending import (
    CAPTURE_LIMIT,
    LISTENING,
    STUCK_LIMIT,
    TABLE,
    Aborted,
    Captured,
    Drained,
    Ending,
    Fact,
    Failed,
    Finished,
    NothingToDecode,
    Order,
    Phase,
    ReaderLost,
    Refused,
    Selected,
    Stop,
    Tick,
    table,
)

DESIGN = Path(__file__).parents[2] / "docs" / "DESIGN.md"

FACTS: tuple[Fact, ...] = (
    Stop("stop", 1.0),
    Failed("device_lost", 12),
    Captured(),
    NothingToDecode(),
    Finished(),
    Refused(),
    Drained(whole=True),
    Drained(whole=False),
    ReaderLost(),
    Aborted(130),
    Tick(2.0, 0.5),
    Tick(1.5 + CAPTURE_LIMIT, 1.0),
)
HUNG = FACTS[-1]


def after(facts: Iterable[Fact], start: Ending) -> tuple[Ending, list[Order]]:
    ending, orders = start, list[Order]()
    for fact in facts:
        ending, more = ending.on(fact)
        orders += more
    return ending, orders


def check(facts: Sequence[Fact], start: Ending) -> None:
    ending, orders = after(facts, start)
    assert orders.count(Order.WRITE_DONE) <= 1
    assert orders.count(Order.LEAVE) + orders.count(Order.LET_GO) <= 1
    assert (ending.phase is Phase.LEFT) == bool({Order.LEAVE, Order.LET_GO} & set(orders))
    if Order.LEAVE in orders:
        assert orders[-1] is Order.LEAVE, "whoever leaves at once does nothing after it"
        assert Order.KILL_WORKER in orders, "no worker stays behind"
    if Order.REFUSE in orders:
        assert Order.WRITE_DONE not in orders, "a refused call leaves stdout empty"
    elif Order.LET_GO in orders:
        assert Order.WRITE_DONE in orders, "the last line is always done"
        assert orders.index(Order.WRITE_DONE) < orders.index(Order.LET_GO)
    if Order.STOP_SOURCE in orders:
        assert any(isinstance(fact, Stop) for fact in facts)
    if Order.SAY_DEADLINE in orders:
        assert start.live
        assert HUNG in facts
    if Order.KILL_WORKER in orders and Order.LEAVE not in orders:
        assert NothingToDecode() in facts
        assert ending.reason is not None
        assert not start.compiles, "a first compile is not thrown away"
    check_rest(facts, ending)


def check_rest(facts: Sequence[Fact], ending: Ending) -> None:
    """Hold the first failure, the first reason, and that every end is reached from anywhere."""
    seen = facts[: next((i for i, f in enumerate(facts) if isinstance(f, Aborted)), len(facts))]
    plain = not any(
        isinstance(f, (ReaderLost, Aborted)) or f == Drained(whole=False) for f in facts
    )
    if plain and ending.phase is not Phase.LEFT:
        assert ending.exit_code == (12 if Failed("device_lost", 12) in facts else 0)
        reasons = [
            f.reason if isinstance(f, Stop) else f.name
            for f in seen
            if isinstance(f, (Stop, Failed))
        ]
        assert ending.reason == next(iter(reasons), None)
    last, orders = after((Finished(), Drained(whole=True)), ending)
    assert last.phase is Phase.LEFT
    if ending.phase is not Phase.LEFT:
        assert orders[-1] is Order.LET_GO
    gone, orders = after([ReaderLost()], ending)
    if ending.phase is not Phase.LEFT:
        assert (gone.phase, gone.exit_code, orders[-1]) == (Phase.LEFT, 30, Order.LEAVE)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("compiles", [True, False])
def test_every_order_of_facts_ends_well(live: bool, compiles: bool) -> None:
    start = Ending(live=live, compiles=compiles)
    # Length five for what most recordings are; four where one switch alone is turned.
    longest = 5 if live and not compiles else 4
    for length in range(longest + 1):
        for facts in itertools.product(FACTS, repeat=length):
            check(facts, start)


def test_a_stop_then_the_end_is_done_then_everything_is_closed() -> None:
    ending, orders = after(
        (Stop("stop", 1.0), Captured(), Finished(), Drained(whole=True)), Ending()
    )
    assert orders == [Order.STOP_SOURCE, Order.WRITE_DONE, Order.DRAIN, Order.LET_GO]
    assert (ending.reason, ending.exit_code) == ("stop", 0)


def test_the_first_failure_sets_the_code_and_the_user_who_leaves_overrules_it() -> None:
    ending, _ = after((Failed("device_lost", 12), Failed("backend_failed", 23)), Ending())
    assert (ending.reason, ending.exit_code) == ("device_lost", 12)
    ending, orders = after([Aborted(143)], ending)
    assert (ending.reason, ending.exit_code) == ("cancel", 143)
    assert orders == [Order.WRITE_DONE, Order.FLUSH, Order.KILL_WORKER, Order.LEAVE]


def test_a_model_that_may_be_compiling_is_not_killed_for_having_nothing_to_do() -> None:
    early = (Stop("stop", 1.0), NothingToDecode())
    assert Order.KILL_WORKER in after((Selected(compiles=False), *early), Ending())[1]
    assert Order.KILL_WORKER not in after((Selected(compiles=True), *early), Ending())[1]


@pytest.mark.parametrize(
    "facts", list(itertools.permutations((Stop("stop", 1.0), NothingToDecode())))
)
def test_a_model_without_work_is_killed_whichever_is_known_first(facts: tuple[Fact, ...]) -> None:
    assert sorted(after(facts, Ending())[1]) == [Order.KILL_WORKER, Order.STOP_SOURCE]


def test_who_leaves_while_done_drains_gets_no_second_done() -> None:
    ending, orders = after((Finished(), Aborted(130)), Ending())
    assert orders[:2] == [Order.WRITE_DONE, Order.DRAIN]
    assert orders[2:] == [Order.FLUSH, Order.KILL_WORKER, Order.LEAVE]
    assert (ending.phase, ending.exit_code) == (Phase.LEFT, 130)


def test_a_call_that_is_refused_ends_without_done() -> None:
    ending, orders = after([Refused()], Ending())
    assert (ending.phase, orders) == (Phase.LEFT, [Order.LET_GO, Order.REFUSE])


def test_text_that_nobody_took_is_said_and_is_the_exit_code() -> None:
    facts = (Failed("device_lost", 12), Finished(), Drained(whole=False))
    ending, orders = after(facts, Ending())
    assert orders[-2:] == [Order.LET_GO, Order.SAY_UNREAD]
    assert (ending.phase, ending.exit_code) == (Phase.LEFT, 30)


@pytest.mark.parametrize(
    ("start", "idle", "late", "hangs"),
    [
        (Ending(), 0.0, CAPTURE_LIMIT + 0.1, True),
        (Ending(), 0.0, CAPTURE_LIMIT - 0.1, False),
        (Ending(captured=True), 0.0, CAPTURE_LIMIT + 0.1, False),
        (Ending(live=False), 0.0, CAPTURE_LIMIT + 0.1, False),
        (Ending(live=False), STUCK_LIMIT + 1, STUCK_LIMIT + 1, True),
        (Ending(captured=True), STUCK_LIMIT + 1, STUCK_LIMIT + 1, True),
    ],
)
def test_what_does_not_end_is_ended(start: Ending, idle: float, late: float, hangs: bool) -> None:
    _, orders = after((Stop("stop", 5.0), Tick(5.0 + late, idle)), start)
    assert (Order.SAY_DEADLINE in orders) == hangs


def test_nothing_is_too_late_before_a_stop() -> None:
    assert after([Tick(1e6, 1e6)], Ending()) == (Ending(), [])


def test_the_table_names_every_phase_but_the_last_and_every_order() -> None:
    assert {phase for rule in TABLE for phase in rule.phases} == set(LISTENING)
    assert {order for rule in TABLE for order in rule.orders} == set(Order)


def test_the_table_in_the_docs_is_this_one() -> None:
    assert table() in DESIGN.read_text("utf-8")
