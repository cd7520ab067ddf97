"""What several test folders share."""

import os

import pytest


def requires(part: str, *, present: bool) -> None:
    """Skip the test, and say why, where a part of the system is absent.

    With PARAKEET_REQUIRE_ALL=1, as on the machine that decides, the test fails instead.
    """
    if present:
        return
    if os.environ.get("PARAKEET_REQUIRE_ALL") == "1":
        pytest.fail(f"{part} is absent, and PARAKEET_REQUIRE_ALL=1 asks for it")
    pytest.skip(f"{part} is absent")
