import inspect
import pickle
import re

import pytest

from parakeet_coreml import errors
from parakeet_coreml.errors import ParakeetError

ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ParakeetError) and kind is not ParakeetError
]

API = {
    "usage": 2,
    "no_device": 10,
    "mic_silent": 11,
    "device_lost": 12,
    "overload": 13,
    "model_missing": 20,
    "model_corrupt": 21,
    "model_unusable": 22,
    "backend_failed": 23,
    "download_failed": 24,
    "output_lost": 30,
    "storage": 31,
    "deadline": 40,
}
"""Hosts map these: nothing here changes."""


def test_names_and_exit_codes_are_what_hosts_know() -> None:
    assert {kind.name: kind.exit_code for kind in ALL} == API
    assert len(ALL) == len(API)


def test_the_tree_in_the_docstring_is_true() -> None:
    drawn = re.findall(r"^      (\w+Error) +(\w+) +(\d+)$", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted((k.__name__, k.name, str(k.exit_code)) for k in ALL)


def test_a_bug_has_exit_code_1() -> None:
    assert (ParakeetError.name, ParakeetError.exit_code) == ("internal", 1)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_carries_what_happened_and_what_to_do(kind: type[ParakeetError]) -> None:
    error = kind("it broke", "mend it")
    assert (error.message, error.hint, str(error)) == ("it broke", "mend it", "it broke")
    assert kind("it broke").hint == ""


@pytest.mark.parametrize("kind", ALL)
def test_an_error_crosses_a_process_border(kind: type[ParakeetError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("it broke", "mend it")))  # noqa: S301  our own bytes
    assert (type(copy), copy.message, copy.hint) == (kind, "it broke", "mend it")


@pytest.mark.parametrize("kind", ALL)
def test_a_mistake_in_our_code_is_no_error_for_users(kind: type[ParakeetError]) -> None:
    assert not issubclass(kind, (ValueError, OSError))
