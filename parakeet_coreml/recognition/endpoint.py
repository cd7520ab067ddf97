"""Where speech ends, followed while it is spoken: a function of the audio alone. Pure.

A pause is frozen, its noise floor included, once it is 300 ms old: however much quiet follows, the
last window would end at the same sample. That is what makes it worth decoding ahead of a stop, and
the stop itself goes by the same rule, so that it does not matter whether anyone did.
"""

from dataclasses import dataclass

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.energy import END, END_TICKS, START, START_TICKS, TICK
from parakeet_coreml.recognition.tape import Tape

CONTEXT = 2 * SAMPLE_RATE
"""Audio before the new part that is looked at to find where speech ends."""

FLOOR_EVERY = 25
"""Ticks between two updates of the floor that single ticks are held against: 0.5 s."""

AGAIN = 5
"""Ticks between two attempts to freeze a pause: 100 ms."""

SETTLED = END_TICKS + (energy.TAIL + energy.SOFT_TAIL) // TICK
"""Ticks of quiet after which no pause is to be expected any more where there was none: 900 ms."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Quiet behind speech. Samples count from the start of the recording."""

    spoken: int
    """After the last tick of speech."""
    end: int
    """Where a window of that speech ends: its tail included."""
    floor: float
    """What quiet means from here on."""


class Endpoint:
    """Follows one stretch of a recording, tick by tick."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._at = tape.stop
        self._ticks = self._loud = self._quiet = 0
        self._floor = energy.FLOOR_MIN
        self.pause: Pause | None = None
        """The frozen pause that is going on."""
        self.onset = self._at
        """Sample where, by single ticks, the newest speech began."""
        self.spoken = 0
        """Sample after the newest speech by single ticks; 0 before there was any."""

    @property
    def settles(self) -> int | None:
        """Sample at which a pause may be there if quiet goes on; None if it is loud, or was one."""
        quiet = self._quiet
        if self.pause is not None or not self.spoken or not 0 < quiet < SETTLED:
            return None
        wait = END_TICKS - quiet if quiet < END_TICKS else AGAIN - (quiet - END_TICKS) % AGAIN
        return self._at + wait * TICK

    @property
    def rests(self) -> bool:
        """Whether a frozen pause goes on in which nothing has begun: 40 ms more change nothing."""
        return self.pause is not None and not self._loud

    @property
    def at(self) -> int:
        """Sample up to which ticks were followed."""
        return self._at

    def step(self, covered: int) -> bool:
        """Follow one tick if it is there whole; False if it is not.

        Speech before `covered` is in windows already, and no pause of it is looked for.
        """
        if self._at + TICK > self._tape.stop:
            return False
        level = self._tape.level(self._at)
        self._at += TICK
        if self._ticks % FLOOR_EVERY == 0:
            # In doubt it is speech: 3 dB less than elsewhere, or noise would swallow last words.
            self._floor = self._tape.floor(self._at) / END
        self._ticks += 1
        floor = self._floor if self.pause is None else self.pause.floor
        self._loud = self._loud + 1 if level > START * floor else 0
        self._quiet = 0 if level > END * floor else self._quiet + 1
        if self._loud >= START_TICKS:
            if self._at - self.spoken > END_TICKS * TICK:
                self.onset = self._at - self._loud * TICK
            self.spoken, self.pause = self._at, None
        elif self.pause is None and self._settled():
            self.pause = self._frozen(covered)
        return True

    def _settled(self) -> bool:
        return self._quiet >= END_TICKS and (self._quiet - END_TICKS) % AGAIN == 0

    def _frozen(self, covered: int) -> Pause | None:
        """Return the pause if it is 300 ms old and all that the last window needs is there."""
        found = ending(self._tape, covered, self._at)
        if found is None:
            return None
        age = (self._at - found.spoken) // TICK
        return found if age >= END_TICKS and found.end <= self._at else None


def ending(tape: Tape, covered: int, total: int) -> Pause | None:
    """Return where speech behind `covered` ends if the recording ends at `total`.

    None if nothing behind `covered` is speech.
    """
    # Begin before the new audio: a word that reaches into it is speech from its own start.
    base = max(tape.start, tape.aligned(covered - CONTEXT))
    levels, floor = tape.levels(base, total), tape.floor(total) / END
    spoken = np.flatnonzero(energy.spoken(levels, floor))
    if not len(spoken) or base + int(spoken[-1]) * TICK < covered:
        return None
    last = base + (int(spoken[-1]) + 1) * TICK
    return Pause(last, base + energy.with_tail(levels, int(spoken[-1]), floor), floor)
