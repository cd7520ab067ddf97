"""Join the hypotheses of overlapping windows into words that are printed once. Pure.

Two windows share some audio, and inside it one *cut* is fixed by the audio alone. The earlier
window prints its words up to its cut and holds back the rest. The later one resumes after the last
printed word: behind the same word if it is there (same letters, start within `REACH`), else at the
first held word if that is there, else at its first word centred after the cut. Held words are used
only where the later window has nothing. Printed words never change, the decoder's order is never
changed, and no word is made of pieces of two windows but one that crosses the whole overlap
(`crossing`).

    pairs  = monotone alignment of (printed + held) with the later window's words
    resume = after pair(last printed) | at pair(first held) | first centre after the cut
    words  = later[resume:], with held words filled into its gaps
    print words up to the later window's own cut, hold the rest
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from parakeet_coreml.audio.samples import FRAME, SAMPLE_RATE
from parakeet_coreml.recognition.crossing import (
    REACH,
    apart,
    crosses,
    headed,
    parted,
    with_whole_head,
)
from parakeet_coreml.recognition.words import Word, glued, key_of

LOOSE = 6 * FRAME
"""Without a common word, resume at most this long after the last printed word ended."""

MARGIN = 3 * FRAME
"""Room a held run needs besides its own length, and its distance from its window's end."""

MEMORY = 30 * SAMPLE_RATE
"""Printed words are remembered this long: no later window reaches further back."""


@dataclass(frozen=True, slots=True)
class Seam:
    """What one window leaves for the next: words printed lately and words held back."""

    printed: tuple[Word, ...] = ()
    held: tuple[Word, ...] = ()
    cut: int = 0
    """Sample before which everything is printed."""
    stop: int = 0
    """Sample after the window's last."""

    def join(
        self,
        words: Sequence[Word],
        *,
        cut: int,
        stop: int,
        start: int | None = None,
        overlap: int = 0,
    ) -> tuple[list[Word], "Seam"]:
        """Merge the words of the next window; return the words to print now and the next seam.

        Times count from the start of the recording. `start`, `cut` and `stop` are the next
        window's own; for the last window `cut` and `stop` are the end of the recording, and nothing
        is held. The window after it begins `overlap` before `stop`. Without `start` and `overlap`
        no word is taken apart.
        """
        joined, due = parted(
            self._joined(words, stop if start is None else start),
            cut=cut,
            stop=stop,
            overlap=overlap,
        )
        # Words may be centred past the end: one on the last frame, or one that was held.
        due = len(joined) if cut >= stop else due
        fresh, held = joined[:due], joined[due:]
        printed = [w for w in (*self.printed, *fresh) if w.stop > stop - MEMORY]
        return fresh, Seam(tuple(printed), tuple(held), max(cut, self.cut), max(stop, self.stop))

    def released(self) -> "Seam":
        """Return the seam behind a pause: what was held back is printed."""
        return replace(self, printed=(*self.printed, *self.held), held=())

    def _joined(self, words: Sequence[Word], start: int) -> list[Word]:
        """Return what follows the printed words, a word across the whole overlap put together."""
        if not crosses(self.printed, self.held, words, start, self.stop):
            return list(_resumed(self, with_whole_head((*self.printed, *self.held), words, start)))
        printed, held = (apart(w, start, self.stop) for w in (self.printed, self.held))
        later = headed((*self.printed, *self.held), apart(words, start, self.stop))
        # What lies before the later window cannot be contradicted by it.
        first = next((i for i, w in enumerate(held) if w.centre >= start), len(held))
        seam = replace(self, printed=(*printed, *held[:first]), held=tuple(held[first:]))
        return glued([*held[:first], *_resumed(seam, later)])


def _resumed(seam: Seam, words: Sequence[Word]) -> Iterator[Word]:
    """Yield the later window's words from where it resumes, held words filled into its gaps."""
    earlier = (*seam.printed, *seam.held)
    first_held = len(seam.printed)
    later = _with_head(earlier, words)
    pairs = _aligned(earlier, later)
    resume = _resume(seam, later, pairs)
    anchors = {i: j for i, j in pairs.items() if i >= first_held and j >= resume}
    fills = _fills(seam, later, resume, anchors)
    for j in range(resume, len(later) + 1):
        yield from fills.get(j, ())
        if j < len(later):
            yield later[j]


def _with_head(earlier: Sequence[Word], words: Sequence[Word]) -> list[Word]:
    """Drop a headless first word where the earlier window has a word at that time."""
    if not words or not words[0].headless:
        return list(words)
    head = words[0]
    heard = any(w.start < head.stop and head.start < w.stop for w in earlier)
    return list(words[1:] if heard else words)


def _aligned(earlier: Sequence[Word], later: Sequence[Word]) -> dict[int, int]:
    """Return the best monotone pairing of equal words, earlier index to later index.

    Closeness decides, not the number of pairs alone: counting would pair "two two two" with the
    wrong copies.
    """
    if not earlier or not later:
        return {}
    low, high = later[0].start - REACH, max(w.start for w in earlier) + REACH
    rows = [i for i, w in enumerate(earlier) if w.start >= low]
    columns = [j for j, w in enumerate(later) if w.start <= high]
    keys = [key_of(later[j].text) for j in columns]
    score = [[0] * (len(columns) + 1) for _ in range(len(rows) + 1)]
    for a in reversed(range(len(rows))):
        word, key = earlier[rows[a]], key_of(earlier[rows[a]].text)
        for b in reversed(range(len(columns))):
            best = max(score[a + 1][b], score[a][b + 1])
            if key == keys[b]:
                best = max(best, _closeness(word, later[columns[b]]) + score[a + 1][b + 1])
            score[a][b] = best
    return _traced(earlier, later, rows, columns, score)


def _closeness(word: Word, other: Word) -> int:
    distance = abs(word.start - other.start)
    return REACH + FRAME - distance if distance <= REACH else 0


def _traced(
    earlier: Sequence[Word],
    later: Sequence[Word],
    rows: Sequence[int],
    columns: Sequence[int],
    score: Sequence[Sequence[int]],
) -> dict[int, int]:
    """Walk the score table of `_aligned` from the start and collect its pairs."""
    pairs: dict[int, int] = {}
    a = b = 0
    while a < len(rows) and b < len(columns):
        word, other = earlier[rows[a]], later[columns[b]]
        close = _closeness(word, other) if key_of(word.text) == key_of(other.text) else 0
        if close and score[a][b] == close + score[a + 1][b + 1]:
            pairs[rows[a]] = columns[b]
            a, b = a + 1, b + 1
        elif score[a][b] == score[a + 1][b]:
            a += 1
        else:
            b += 1
    return pairs


def _resume(seam: Seam, later: Sequence[Word], pairs: dict[int, int]) -> int:
    """Return the index of the later window's first word that is still to be printed."""
    first_held = len(seam.printed)
    last = first_held - 1
    if last in pairs:
        return pairs[last] + 1
    if first_held in pairs:
        # Where the windows disagree, the word may be paired with a copy that lies on a printed one.
        taken = last >= 0 and _coincide(seam.printed[last], later[pairs[first_held]])
        return pairs[first_held] + taken
    low = max((j + 1 for i, j in pairs.items() if i < last), default=0)
    high = min((j for i, j in pairs.items() if i > last), default=len(later))
    if last < 0:
        return low
    ended = seam.printed[last].stop
    # Not the cut alone: where the earlier window went blank before it, nothing may be cut away.
    limit = min(seam.cut, ended + LOOSE)
    fitting = (j for j in range(low, high) if later[j].centre > limit and later[j].centre >= ended)
    return next(fitting, high)


def _coincide(word: Word, other: Word) -> bool:
    """Return whether two words lie in the same place: only one of them was said."""
    shared = min(word.stop, other.stop) - max(word.start, other.start)
    return 4 * shared >= 3 * max(word.stop - word.start, other.stop - other.start)


def _fills(
    seam: Seam, later: Sequence[Word], resume: int, anchors: dict[int, int]
) -> dict[int, list[Word]]:
    """Return held words to print, by the index of the later word they go before."""
    fills: dict[int, list[Word]] = {}
    first = len(seam.printed)
    run: list[Word] = []
    before = resume
    for i in range(first, first + len(seam.held) + 1):
        after = anchors.get(i)
        if after is None and i < first + len(seam.held):
            run.append(seam.held[i - first])
            continue
        if run and after == before:
            kept = [w for w in run if not _coincide(w, later[before])]
            fills.setdefault(before, []).extend(kept)
        elif run:
            _fill_gaps(
                seam, later, run, range(before, len(later) if after is None else after), fills
            )
        if after is not None:
            before = after + 1
        run = []
    return fills


def _fill_gaps(
    seam: Seam,
    later: Sequence[Word],
    run: Sequence[Word],
    between: range,
    fills: dict[int, list[Word]],
) -> None:
    """Put the words of `run` into gaps of the later window that are wide enough for them."""
    waiting = list(run)
    for j in range(between.start, between.stop + 1):
        heard = [later[j - 1].stop] if j > 0 else []
        if j == between.start and seam.printed:
            heard.append(seam.printed[-1].stop)
        left = max(heard, default=run[0].start - MARGIN)
        right = later[j].start if j < len(later) else None
        due = [
            i
            for i, w in enumerate(waiting)
            if w.centre >= left and (right is None or w.centre < right)
        ]
        words = [waiting[i] for i in due]
        # The word before may be the whole of what is held as a fragment, timed a little otherwise.
        apart = j == between.start or not words or words[0].start >= left + MARGIN
        if words and _fits(seam, words, left, right, apart=apart):
            fills.setdefault(j, []).extend(words)
            # Where times fall, a word may lie in two gaps: it is printed once, and in order.
            waiting = waiting[due[-1] + 1 :]


def _fits(seam: Seam, words: Sequence[Word], left: int, right: int | None, *, apart: bool) -> bool:
    span = words[-1].stop - words[0].start
    if right is not None and right - left < span + MARGIN:
        return False
    # The last frames of a window are where fragments and invented words come from.
    clear_of_end = words[-1].stop <= seam.stop - MARGIN
    return clear_of_end or (apart and (right is None or right >= seam.stop + LOOSE))
