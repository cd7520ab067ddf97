"""What is asked for, and what of it has a limit."""

import pytest

from parakeet_coreml.recording.options import LIVE_SECONDS, MAX_SECONDS, Options


@pytest.mark.parametrize("live", [Options(), Options(input="-"), Options("a.wav", realtime=True)])
def test_what_has_no_end_of_its_own_ends_after_four_hours(live: Options) -> None:
    assert live.most_seconds == LIVE_SECONDS == 4 * 3600


def test_a_file_has_its_own_end() -> None:
    assert Options(input="a.wav").most_seconds == MAX_SECONDS
    assert Options(input="a.wav", max_seconds=5).most_seconds == 5
