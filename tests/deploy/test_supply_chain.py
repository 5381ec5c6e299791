"""What is installed is what was locked, and what pip-audit says of it is read rightly."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from deploy import audit

ROOT = Path(__file__).parent.parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def requirements(path: Path) -> list[str]:
    """One entry a package: continued lines joined."""
    return [line for line in path.read_text().replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_locked_to_a_version_and_its_hashes(path: Path) -> None:
    entries = requirements(path)
    assert len(entries) > 10
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( *;.*?)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), (
            entry
        )


def test_all_sides_are_locked() -> None:
    assert {path.stem for path in LOCKS} == {"api", "dev", "foreign", "local", "tools", "worker", "worker-gpu", "zoo"}


def test_packages_are_installed_by_hash_and_as_wheels() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    installs = [line for line in dockerfile.splitlines() if " install --" in line]
    assert len(installs) == 3
    assert all("--require-hashes" in line for line in installs)
    assert "PIP_ONLY_BINARY=:all:" in dockerfile
    assert "--require-hashes" in (ROOT / "Makefile").read_text()


def test_every_promise_names_a_test_that_is_there() -> None:
    promised = (ROOT / "docs/security.md").read_text().split("## Promised")[1].split("## Not promised")[0]
    named = re.findall(r"`((?:tests|bench|deploy)/[^`]+)`", promised)
    assert len(named) > 12
    assert [name for name in named if not (ROOT / name).exists()] == []


# -- pip-audit ----------------------------------------------------------------------------------------------------

CLEAN = {"name": "a", "version": "1", "vulns": []}
FLAWED = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.fixture
def pip_audit(tmp_path: Path) -> Path:
    """A stand-in that says what lies beside it: `pypi.json` or `osv.json`, else that nobody answers."""
    program = tmp_path / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nservice = sys.argv[sys.argv.index('--vulnerability-service') + 1]\n"
        f"file = pathlib.Path({str(tmp_path)!r}) / (service + '.json')\n"
        "sys.exit('requests.exceptions.ConnectionError: no') if not file.exists() else print(file.read_text())\n"
    )
    program.chmod(0o755)
    return program


def answers(program: Path, service: str, *packages: object) -> None:
    program.with_name(f"{service}.json").write_text(json.dumps({"dependencies": packages}))


def test_a_known_vulnerability_fails(pip_audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers(pip_audit, "pypi", CLEAN, FLAWED, UNKNOWN)
    assert audit.main([str(pip_audit), "lock.txt"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "b 2: PYSEC-1, fixed in 3", "not looked up: c", "audit: 2 packages looked up, 1 known vulnerabilities",
    ]  # fmt: skip


def test_the_second_service_is_asked_where_the_first_knows_nothing(pip_audit: Path) -> None:
    answers(pip_audit, "pypi", UNKNOWN)
    answers(pip_audit, "osv", FLAWED)
    assert audit.main([str(pip_audit), "lock.txt"]) == 1
    answers(pip_audit, "osv", CLEAN)
    assert audit.main([str(pip_audit), "lock.txt"]) == 0


def test_without_a_service_it_says_that_it_was_skipped(pip_audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers(pip_audit, "pypi", UNKNOWN)
    assert audit.main([str(pip_audit), "lock.txt"]) == 0
    assert capsys.readouterr().out == "audit skipped: no vulnerability service is reached\n"


def test_any_other_failure_fails(pip_audit: Path) -> None:
    pip_audit.with_name("pypi.json").write_text("no json")
    assert audit.main([str(pip_audit), "lock.txt"]) == 1
