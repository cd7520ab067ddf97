"""What is measured live: levels, where speech starts and ends, and digital silence."""

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples, to_ms
from parakeet_coreml.recognition import energy

LEVEL_SPAN = SAMPLE_RATE // 10
"""Samples a level covers: ten levels a second."""

CLIPPING = 0.99
"""A peak from here on is called clipping."""

QUIETEST_DB = -120.0
"""What digital silence is called, for JSON has no minus infinity."""

FLOOR_SPAN = 30 * SAMPLE_RATE // energy.TICK
"""Ticks the noise floor is taken from."""

FLOOR_EVERY = 25
"""Ticks between two updates of the noise floor: 0.5 s."""

MUTED = 14 * SAMPLE_RATE
"""Zeros for so long after there was sound: switched off midway. A noise gate gives shorter ones."""

FAINTEST_DB = -96
"""Quieter than this is what 16 bits round to."""

CONTRAST_DB = 15
"""So far above the quiet of a recording is sound that somebody made."""

TICK_SECONDS = energy.TICK / SAMPLE_RATE

SHORTEST = 0.3
"""Seconds of it that count."""

WEIGHED_AT_ONCE = 50
"""Blocks whose ticks are counted together: each call of NumPy costs more than what it counts."""

Emit = Callable[..., None]
"""Takes the name of an event and its fields."""


def decibels(level: float) -> float:
    """Return a level from 0 to 1 in dB of full scale, one decimal."""
    return round(20 * math.log10(level), 1) if level > 1e-6 else QUIETEST_DB  # noqa: PLR2004  -120 dB


class LevelMeter:
    """Listens to the 16 kHz audio as it comes; costs next to nothing where nobody asked.

    `level` and `speaking` take the fields of those events, None where they are not wanted; `silent`
    is called with False once when the first `silent_after` samples are all zero, and with True
    whenever `MUTED` samples in a row are after there was sound.
    """

    def __init__(
        self,
        *,
        silent: Callable[[bool], None],
        silent_after: int,
        level: Emit | None,
        speaking: Emit | None,
    ) -> None:
        self._silent = silent
        self._silent_after = silent_after
        self._zeros = 0
        self._loudness = np.zeros(1 - round(QUIETEST_DB), dtype=np.int64)
        self._unweighed: list[energy.Levels] = []
        self._level, self._speaking = level, speaking
        self._rest = np.empty(0, dtype=np.float32)
        self._levels: deque[float] = deque(maxlen=FLOOR_SPAN)
        self._floor = energy.FLOOR_MIN
        self._ticks = self._loud = self._quiet = 0
        self._in_speech = False
        self.sounded = False
        """Whether anything but digital zeros arrived."""

    def heard(self, block: Samples, start: int) -> None:
        """Listen to one piece of audio that begins at sample `start`."""
        if not self.sounded:
            self._look_for_sound(block, start)
        if self.sounded:
            self._look_for_mute(block)
        self._unweighed.append(energy.levels_of(block))
        if len(self._unweighed) >= WEIGHED_AT_ONCE:
            self._weigh()
        if self._level is not None or self._speaking is not None:
            self._listen(block, start)

    def _weigh(self) -> None:
        """Count ticks by whole decibels below full scale; how blocks are cut hardly matters."""
        levels = np.concatenate(self._unweighed)
        self._unweighed = []
        below = -20 * np.log10(np.clip(levels[levels > 0], 10 ** (QUIETEST_DB / 20), 1))
        self._loudness += np.bincount(below.astype(np.int64), minlength=len(self._loudness))

    @property
    def faint(self) -> float:
        """Seconds of sound well above the quiet of the recording; 0.0 if they are too few."""
        if self._unweighed:
            self._weigh()
        total = int(self._loudness.sum())
        if not total:
            return 0.0
        louder = np.cumsum(self._loudness)  # ticks at least so loud, from full scale down
        quiet = int(np.searchsorted(louder, 0.9 * total))
        seconds = float(louder[max(0, min(quiet - CONTRAST_DB, -FAINTEST_DB))]) * TICK_SECONDS
        return seconds if seconds >= SHORTEST else 0.0

    def _look_for_sound(self, block: Samples, start: int) -> None:
        self.sounded = bool(block.any())
        if not self.sounded and start < self._silent_after <= start + len(block):
            self._silent(False)  # noqa: FBT003  what `silent` takes

    def _look_for_mute(self, block: Samples) -> None:
        """Report each run of zeros that grows long, once; it may span many blocks."""
        if 0 < len(block) < MUTED and block[0] and block[-1]:
            self._zeros = 0  # none begins or ends here, and none in it is long
            return
        sound = np.flatnonzero(block)
        edges = np.concatenate(([-1 - self._zeros], sound, [len(block)]))
        reported = self._zeros >= MUTED
        lengths = np.diff(edges)[int(reported) :] - 1
        self._zeros = int(edges[-1] - edges[-2]) - 1
        for _ in range(int(np.count_nonzero(lengths >= MUTED))):
            self._silent(True)  # noqa: FBT003  what `silent` takes

    def _listen(self, block: Samples, start: int) -> None:
        audio = np.concatenate((self._rest, block))
        first = start - len(self._rest)
        spans = len(audio) // LEVEL_SPAN
        for at in range(0, spans * LEVEL_SPAN, LEVEL_SPAN):
            span = audio[at : at + LEVEL_SPAN]
            if self._level is not None:
                self._level("level", t_ms=to_ms(first + at + LEVEL_SPAN), **_level_of(span))
            if self._speaking is not None:
                self._follow(span, first + at)
        self._rest = audio[spans * LEVEL_SPAN :]

    def _follow(self, span: Samples, first: int) -> None:
        """Report where speech starts and ends, tick by tick."""
        for index, level in enumerate(energy.levels_of(span).tolist()):
            self._levels.append(level)
            if self._ticks % FLOOR_EVERY == 0:
                self._floor = energy.floor_of(np.array(self._levels, dtype=np.float32))
            self._ticks += 1
            self._loud = self._loud + 1 if level > energy.START * self._floor else 0
            self._quiet = 0 if level > energy.END * self._floor else self._quiet + 1
            now = first + (index + 1) * energy.TICK
            if not self._in_speech and self._loud >= energy.START_TICKS:
                self._say("start", now - self._loud * energy.TICK)
            elif self._in_speech and self._quiet >= energy.END_TICKS:
                self._say("end", now - self._quiet * energy.TICK)

    def _say(self, state: str, sample: int) -> None:
        self._in_speech = state == "start"
        if self._speaking is not None:
            self._speaking("speech", state=state, t_ms=to_ms(sample))


def _level_of(span: Samples) -> dict[str, float | int | bool]:
    peak = float(np.abs(span).max())
    return {
        # About its mean, as in `energy`: a constant offset is not sound.
        "rms_db": decibels(float(span.std(dtype=np.float64))),
        "peak_db": decibels(peak),
        "clipping": peak >= CLIPPING,
    }
