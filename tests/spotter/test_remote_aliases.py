"""Aliases of a running service, by the client and by `spotter models alias --url`, against the API itself."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from shared.store import JobStore
from spotter import Spotter, SpotterApiError
from spotter.cli import app, main
from tests.api.following import following


def run(api: httpx.Client, *arguments: str) -> Result:
    command = ["models", "alias", *arguments, "--url", str(api.base_url)]
    return CliRunner().invoke(app, command, env={"COLUMNS": "160"})


def test_the_client_moves_an_alias_and_gives_it_back(service: Spotter, worker: Any, store: JobStore) -> None:
    with following(worker, store):
        told = service.set_alias("m", "stable", "2")
        assert (told["version"], told["followed"], told["behind"]) == ("2", ["w1"], [])
        assert service.models()[0]["aliases"] == {"stable": "2"}
        assert service.drop_alias("m", "stable")["version"] == "1"
        with pytest.raises(SpotterApiError) as caught:
            service.drop_alias("m", "stable")
        assert (caught.value.code, caught.value.status) == ("alias_not_found", 404)
        with pytest.raises(SpotterApiError) as caught:
            service.set_alias("m", "stable", "7")
        assert (caught.value.code, caught.value.status) == ("version_not_loaded", 409)


def test_the_client_need_not_wait(service: Spotter, worker: Any) -> None:
    worker.announce("m", ("1", "2"), "2")
    (behind,) = service.set_alias("m", "stable", "1", wait_s=0)["behind"]
    assert behind == {"worker": "w1", "version": None, "reason": "It has not looked yet."}


def test_the_command_says_who_follows(api: httpx.Client, worker: Any, store: JobStore) -> None:
    with following(worker, store):
        for arguments, said in (
            (("m", "stable", "2"), "m@stable is version 2 at 1 worker"),
            (("m", "new", "2"), "m@new is version 2 at 1 worker"),
            (("m", "stable", "--remove"), "m@stable is version 1 at 1 worker"),
            (("m", "new", "--remove"), "m@new means nothing any more at 1 worker"),
        ):
            done = run(api, *arguments)
            assert (done.exit_code, done.stderr.strip()) == (0, said)


def test_the_command_fails_where_a_worker_does_not_follow(api: httpx.Client, worker: Any, store: JobStore) -> None:
    with following(worker, store):
        worker.announce("m", ("1",), "1", {"stable": "1"}, worker="w2", followed=9_000_000_000_000)
        done = run(api, "m", "stable", "2")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "m@stable is version 2 at 1 worker",
        "w2 does not follow (there it is 1): Its model repository has no version 2.",
    ]


def test_a_refusal_is_one_sentence(
    api: httpx.Client, worker: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.announce("m", ("1",))
    monkeypatch.setattr("sys.argv", ["spotter", "models", "alias", "m", "stable", "9", "--url", str(api.base_url)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "No live worker has m@9 loaded" in line
