"""What waits for the thread that decodes: real windows in order, behind them one speculation."""

import threading
from collections import deque
from dataclasses import dataclass

from parakeet_coreml.recognition.windows import Window


@dataclass(frozen=True, slots=True)
class Break:
    """The recording was paused here: what comes behind it has nothing to do with what was."""

    at: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The window that would be the last one if the recording ended now."""

    window: Window
    passing: bool = False
    """Speech goes on: good for a first glance at the words, and for nothing else."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing comes any more; `error` is a bug on the thread that cuts."""

    error: BaseException | None = None


Item = Window | Break | End


class Intake:
    """A queue between two threads. With `most` real items waiting `put` waits too; 0: never."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[Item] = deque()
        self._tail: Tail | None = None
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Add what must be decoded. A speculation that waits is outdated."""
        with self._changed:
            while self._most and len(self._items) >= self._most:
                self._changed.wait()
            self._items.append(item)
            self._tail = None
            self._changed.notify_all()

    def offer(self, tail: Tail | None) -> None:
        """Replace the speculation, for whenever there is nothing else to do."""
        with self._changed:
            self._tail = tail
            self._changed.notify_all()

    def get(self) -> Item | Tail:
        """Wait for the next item; a tail only where no item waits."""
        with self._changed:
            while not self._items and self._tail is None:
                self._changed.wait()
            item: Item | Tail | None
            if self._items:
                item = self._items.popleft()
            else:
                item, self._tail = self._tail, None
            self._changed.notify_all()
        assert item is not None  # noqa: S101  one of the two was there
        return item

    @property
    def waiting(self) -> bool:
        """Whether real work waits."""
        return bool(self._items)
