"""What the comparison with other servers does before and after any load: who runs how, what is made of figures."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.peers import install, load, report, roster, running
from bench.peers.__main__ import arguments_of
from bench.peers.load import Measured
from bench.peers.serving import VARIABLE, Serving

SETTINGS = [(peer, setting) for peer, one in roster.PEERS.items() for setting in one.settings]


@pytest.mark.parametrize(("peer", "setting"), SETTINGS)
@pytest.mark.parametrize("cores", [1, 2, 8])
def test_every_setting_uses_each_core_once(peer: str, setting: str, cores: int) -> None:
    serving = roster.PEERS[peer].settings[setting].serving(8000, Path("models"), "bf16", cores)
    assert serving.workers * serving.threads == cores
    assert serving.side_by_side >= 1


def test_a_servers_orders_arrive_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = roster.Setting("batch", per_core=True, wait_ms=2.5).serving(8123, Path("/models"), "fp32", 4)
    monkeypatch.setenv(VARIABLE, given.to_environment()[VARIABLE])
    assert Serving.from_environment() == given


@pytest.mark.parametrize("peer", roster.PEERS)
def test_every_peer_has_a_server_of_this_package(peer: str) -> None:
    modules = re.findall(r"bench\.peers\.(\w+)", " ".join(roster.PEERS[peer].command))
    assert [Path(roster.__file__).with_name(f"{name}.py").is_file() for name in modules] == [True]


def test_peers_and_settings_are_chosen_by_name() -> None:
    assert [peer for peer, _ in roster.choose(None)] == list(roster.PEERS)
    first = next(iter(roster.PEERS["mosec"].settings))
    assert roster.choose("litserve/worker-per-core,mosec") == [("litserve", "worker-per-core"), ("mosec", first)]
    assert arguments_of(["--venvs", "x", "--only", "mosec/single"]).only == [("mosec", "single")]


@pytest.mark.parametrize("words", ["triton", "mosec/none", "litserve,,mosec"])
def test_what_is_not_there_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"there is no peer|has no setting"):
        roster.choose(words)


@pytest.mark.parametrize("peer", roster.PEERS)
def test_every_peer_is_pinned_and_shares_the_locked_versions(peer: str) -> None:
    wanted = install.requirements(peer, install.locked(install.LOCK.read_text())).split("\n")
    assert all("==" in line for line in wanted if line)
    assert any(line.startswith("onnxruntime-openvino==") for line in wanted)


def test_a_lock_is_read_with_its_markers_and_without_its_hashes() -> None:
    lock = "numpy==2.4.6 ; python_version < '3.12' \\\n    --hash=sha256:00\nnumpy==2.5.5 \\\n    --hash=sha256:11\n"
    assert install.locked(lock) == {"numpy": "numpy==2.4.6 ; python_version < '3.12'\nnumpy==2.5.5"}


def test_only_right_answers_count_for_the_rate() -> None:
    printed = (
        "Running 2s test\n"
        '{"requests": 210, "seconds": 2.0, "wrong": 10, "lost": 3, "example": "500 no", "p50_ms": 5.0, "p90_ms": 6.0, '
        '"p99_ms": 9.0, "p999_ms": 9.5, "max_ms": 9.9}\n'
    )
    assert load.read(printed) == Measured(rate=100.0, p50_ms=5.0, p99_ms=9.0, errors=13)


def measured(*rates: float) -> list[Measured]:
    return [Measured(rate, 10.0, 20.0, 0) for rate in rates]


def test_ratios_are_of_the_same_round() -> None:
    one = report.side(measured(50, 90, 200), measured(100, 100, 400), [100, 120, 400])
    assert one["of_spotter"] == {"median": 0.5, "low": 0.5, "high": 0.9}
    assert one["of_bare"]["median"] == 0.5


def test_spotter_is_held_against_the_best_of_each_round() -> None:
    rounds: report.Rounds = {
        "spotter": {8: measured(110, 110, 110)},
        "a": {8: measured(100, 50, 100)},
        "b": {8: measured(55, 110, 90)},
    }
    assert report.against_best(rounds, 8) == {"ratio": {"median": 1.1, "low": 1.0, "high": 1.1}, "best": "a"}
    assert report.table(rounds, [120, 120, 120]).count("\n") == 4
    assert report.against_best({"spotter": rounds["spotter"]}, 8) == {}


def test_what_a_server_starts_is_found_and_ended() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        until = time.monotonic() + 20
        while not (below := running.descendants(parent.pid)) and time.monotonic() < until:
            time.sleep(0.01)
        assert len(below) == 1
        assert running.end(below) == set()
        assert parent.wait(20) == 0
