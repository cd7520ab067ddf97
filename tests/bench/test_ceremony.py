"""The baseline that `make ab` measures, and the recordings it is measured on."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ceremony
import pytest
from support import requires

from parakeet_coreml.bench import data
from parakeet_coreml.bench.data import Utterance

BUILD = Path(__file__).parent / "build_set.py"


@pytest.fixture
def utterance(tmp_path: Path) -> Utterance:
    sample, *_ = data.read(data.BUNDLED, limit=None, seed=1, english=True)
    return ceremony.lengthened([sample], 3, tmp_path)


def test_the_ceremony_says_what_the_backend_says_and_names_every_hop(utterance: Utterance) -> None:
    direct = ceremony.own("onnx")(ceremony.until_stop(utterance, "pause"))
    with ceremony.served("onnx") as (port, process, cold):
        found = ceremony.posted(port, utterance, "pause")
        assert process.memory_info().rss > 0
    assert found.text == direct
    assert "push the commit" in found.text
    assert tuple(found.steps) == ceremony.HOPS
    assert all(ms >= 0 for ms in found.steps.values())
    assert set(found.inside) == {"features", "encoder", "search"}
    assert sum(found.inside.values()) <= found.steps["recognise all of it"]
    assert cold > 0
    assert "the ceremony from the stop to the text" in ceremony.steps_of(found, "today")


def test_peers_hear_the_same_files_in_turn(utterance: Utterance) -> None:
    found = ceremony.measure_peers([utterance], "onnx")
    assert "parakeet-coreml onnx" in {peer.name for peer in found}
    for peer in found:
        assert len(peer.ms) == len(peer.errors) == len(peer.texts) == 1
        assert peer.seconds == utterance.seconds


def test_stops_while_the_model_loads_have_a_row_of_their_own(utterance: Utterance) -> None:
    def row(done: float | None, loading: float | None) -> dict[str, Any]:
        figures: dict[str, float | None] = {
            "model_ms": 300.0,
            "recorder_mb": 40.0,
            "worker_mb": 100.0,
        }
        figures |= {"stop_done_ms": done, "stop_loading_ms": loading}
        return {"name": utterance.name, "stop": "word", "exit_code": 0, "figures": figures}

    ours = [row(40.0, None), row(None, 700.0), row(60.0, None), row(None, 900.0)]
    server = ceremony.Server(0.0, 0.0, 0.0)
    found = ceremony.Found("onnx", [utterance], [], server, ours, [], "today")
    table = ceremony.text_of_report(found)
    (line,) = (line for line in table.splitlines() if "stopped in a word" in line)
    assert "(2 of 4 fell while the model loaded)" in line
    assert line.split("|")[3].strip() == "50.0"
    (line,) = (line for line in table.splitlines() if "model still loads" in line)
    assert "2 of 4 recordings" in line
    assert line.split("|")[3].strip() == "800.0"


def test_recordings_are_joined_until_they_are_long_enough(tmp_path: Path) -> None:
    sample, *_ = data.read(data.BUNDLED, limit=None, seed=1, english=True)
    found = ceremony.lengthened([sample, sample, sample], 5, tmp_path)
    assert found.text == f"{sample.text} {sample.text}"
    assert found.seconds == pytest.approx(2 * (sample.seconds + ceremony.PAUSE), abs=0.01)


def test_the_set_is_the_same_for_the_same_seed_and_can_be_read(tmp_path: Path) -> None:
    requires("flite", present=shutil.which("flite") is not None)
    for name in ("a", "b"):
        command = [sys.executable, str(BUILD), str(tmp_path / name), "--count", "3"]
        subprocess.run(command, check=True, timeout=60)
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    found = data.read(tmp_path / "a", limit=None, seed=1, english=True)
    assert len(found) == 3
    assert all(utterance.seconds > 0.9 for utterance in found)
