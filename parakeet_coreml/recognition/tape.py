"""The newest audio of a recording and its levels, addressed by samples from the start. Pure."""

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.recognition import energy
from parakeet_coreml.recognition.energy import TICK, Levels

MEMORY = 30 * SAMPLE_RATE
"""Audio kept behind the newest sample: enough for the last window and for the noise floor."""

SLACK = 5 * SAMPLE_RATE
"""Room for new audio before old audio is moved out of the way."""


class Tape:
    """The newest audio, from sample `start` up to `stop`; a level for each whole tick of it.

    Ticks are counted from `begins`, the first sample of this stretch of the recording.
    """

    def __init__(self, begins: int = 0) -> None:
        self.start = self.stop = self._begins = begins
        self._audio = np.empty(MEMORY + SLACK, dtype=np.float32)
        self._levels = np.empty((MEMORY + SLACK) // TICK, dtype=np.float32)
        self._leveled = begins
        """Sample up to which levels are there."""

    def append(self, block: Samples) -> None:
        """Add up to 1 s of audio and forget what is older than `MEMORY`, in whole ticks."""
        self._make_room(len(block))
        at = self.stop - self.start
        self._audio[at : at + len(block)] = block
        self.stop += len(block)
        fresh = energy.levels_of(self._audio[self._leveled - self.start : self.stop - self.start])
        tick = (self._leveled - self.start) // TICK
        self._levels[tick : tick + len(fresh)] = fresh
        self._leveled += len(fresh) * TICK

    def _make_room(self, samples: int) -> None:
        if self.stop - self.start + samples <= len(self._audio):
            return
        keep = max(self.start, self.aligned(self.stop - MEMORY))
        kept = self._audio[keep - self.start : self.stop - self.start].copy()
        self._audio[: len(kept)] = kept
        levels = self._levels[(keep - self.start) // TICK : (self._leveled - self.start) // TICK]
        self._levels[: len(levels)] = levels.copy()
        self.start = keep

    def aligned(self, sample: int) -> int:
        """Return the start of the tick that a sample lies in."""
        return self._begins + (sample - self._begins) // TICK * TICK

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of the samples from `start` to `stop`."""
        if not self.start <= start <= stop <= self.stop:
            raise ValueError((start, stop, self.start, self.stop))
        return self._audio[start - self.start : stop - self.start].copy()

    def levels(self, start: int, stop: int) -> Levels:
        """Return the levels of the whole ticks from `start`, the first of a tick, to `stop`."""
        first = (start - self.start) // TICK
        return self._levels[first : first + max(0, (stop - start) // TICK)]

    def level(self, start: int) -> float:
        """Return the level of the tick that begins at `start`, which is there whole."""
        level: float = self._levels.item((start - self.start) // TICK)
        return level

    def floor(self, stop: int) -> float:
        """Return the noise floor of the last 30 s before `stop`.

        Bounded by `stop`, not by the tape's end, so that it does not matter how much more has
        arrived.
        """
        first = max(self.start, self.aligned(stop - MEMORY))
        return energy.floor_of(self.levels(first, stop))
