"""Where audio comes from: a microphone, a file, or raw PCM on stdin."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:  # NumPy must not load before the microphone runs
    import numpy as np
    from numpy.typing import NDArray

Warn = Callable[[str, str], None]
"""Takes a code and a message of one line."""


class Source(Protocol):
    """Gives blocks of sound until it ends or is stopped."""

    @property
    def name(self) -> str:
        """What it is called: the device's name, the file as it was given, or `-`."""
        ...

    @property
    def rate(self) -> int:
        """Sample rate of the blocks, in Hz."""
        ...

    @property
    def seconds(self) -> float | None:
        """Length of what is there to be read, 0 where sound comes as it is made; None: unknown."""
        ...

    def blocks(self) -> "Iterator[NDArray[np.float32]]":
        """Yield blocks of shape (n,) or (n, channels) at the source's rate."""
        ...

    def stop(self, tail: float = 0.0) -> None:
        """End `tail` seconds from now; what was recorded before still comes.

        From any thread, returns at once. Only what plays at its own pace has a tail.
        """
        ...

    def close(self) -> None:
        """Let the device or file go."""
        ...


@runtime_checkable
class Collecting(Protocol):
    """A source that collects sound and hands it over now and then, and may lose some meanwhile."""

    made_up: int
    """How many of the samples that it handed over are noise in place of lost ones."""

    def look_within(self, seconds: float) -> None:
        """Hand over what was heard in `seconds` from now, if not sooner. From any thread."""
        ...

    def rests(self, resting: bool) -> None:  # noqa: FBT001  it is the whole message
        """Take whether all that was handed over ends in a pause. From the thread of `blocks`."""

    def let_go(self) -> None:
        """Begin to let the device go, at once; `close` waits for it."""
