"""What is asked for, and what of it has a limit."""

import os

import pytest

from parakeet_coreml.recording.options import LIVE_SECONDS, MAX_SECONDS, Options
from parakeet_coreml.selection import ModelSelection


@pytest.mark.parametrize("live", [Options(), Options(input="-"), Options("a.wav", realtime=True)])
def test_what_has_no_end_of_its_own_ends_after_four_hours(live: Options) -> None:
    assert live.most_seconds == LIVE_SECONDS == 4 * 3600


def test_a_file_has_its_own_end() -> None:
    assert Options(input="a.wav").most_seconds == MAX_SECONDS
    assert Options(input="a.wav", max_seconds=5).most_seconds == 5


@pytest.mark.parametrize(
    ("system", "release", "units"),
    [
        ("Darwin", "23.6.0", "cpu_and_gpu"),
        ("Darwin", "24.1.0", "cpu_and_ne"),
        ("Darwin", "25.0.0", "cpu_and_ne"),
        ("Linux", "23.0", "cpu_and_ne"),
    ],
)
def test_macos_14_keeps_off_the_neural_engine(
    system: str, release: str, units: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = os.uname_result((system, "mac", release, "", "arm64"))
    monkeypatch.setattr(os, "uname", lambda: about)
    assert ModelSelection().units == units
