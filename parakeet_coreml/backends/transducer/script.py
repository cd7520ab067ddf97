"""Keeping words to one script: Parakeet v3 now and then writes Polish in Cyrillic. Pure."""

from collections.abc import Mapping

import numpy as np

from parakeet_coreml.backends.languages import scripts_in
from parakeet_coreml.backends.transducer.tdt import Candidates


class Lock:
    """The tokens that a script leaves: its own, those without letters, and blank."""

    def __init__(self, script: str, pieces: Mapping[int, str], blank: int) -> None:
        self._blank = blank
        self._passes = np.ones(blank + 1, np.bool_)
        for token, piece in pieces.items():
            if token < blank:
                self._passes[token] = scripts_in(piece) <= {script}
        self.locks = not self._passes.all()
        """Whether the model has pieces of any other script."""

    def passes(self, token: int) -> bool:
        """Whether a token may be written."""
        return bool(self._passes[token])

    def allowed(self, token: int, candidates: Candidates) -> int:
        """Return `token`, or the likeliest one of the script if that is of another.

        What was no blank stays none. Without a candidate of the script it is `token` after all.
        """
        if self._passes[token]:
            return token
        ids = np.arange(self._blank) if candidates.ids is None else candidates.ids
        logits = candidates.logits[: len(ids)]
        fit = self._passes[ids] & (ids != self._blank)
        if not fit.any():
            return token
        return int(ids[np.where(fit, logits, -np.inf).argmax()])
