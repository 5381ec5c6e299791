"""What can be held of the compose file and the Dockerfile without an engine; `deploy/try-compose.sh` tries the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from shared.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
STAGES: dict[str, list[str]] = {
    part.split("\n", 1)[0].split(" AS ")[1].strip(): part.splitlines()
    for part in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
}
BUILT = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
FOR_COMPOSE_ALONE = {"SPOTTER_PORT", "SPOTTER_FSYNC"}
PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


def environment(service: dict[str, Any]) -> dict[str, str | None]:
    given = service.get("environment", {})
    return given if isinstance(given, dict) else {name: None for name in given}


def locked(side: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for name, version in PINNED.findall((ROOT / f"requirements/{side}.txt").read_text()):
        versions.setdefault(name, set()).add(version)
    return versions


def test_every_variable_is_a_setting() -> None:
    fields = {f"SPOTTER_{name.upper()}" for name in Settings.model_fields}
    code = "\n".join(line.split("#")[0] for line in TEXT.splitlines())
    assert set(re.findall(r"SPOTTER_[A-Z0-9_]+", code)) <= fields | FOR_COMPOSE_ALONE


@pytest.mark.parametrize("name", ["api", "worker"])
def test_fixed_values_are_valid_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in environment(SERVICES[name]).items():
        if value is not None:
            monkeypatch.setenv(variable, value)
    settings = Settings()
    assert settings.secrets_dir == ("/run/spotter",)
    assert settings.models_dir == "/models"


def test_the_worker_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_workers_wait_for_the_store_and_the_model() -> None:
    waits = {name: how["condition"] for name, how in SERVICES["worker"]["depends_on"].items()}
    assert waits == {"redis": "service_healthy", "models": "service_completed_successfully"}


def test_health_checks_ask_for_progress() -> None:
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", "python", "-m", "worker.health"]
    assert all("healthcheck" in service for name, service in SERVICES.items() if name not in {"models", "secrets"})


def test_the_store_keeps_what_it_accepted() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--rdbcompression no" in command
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_only_the_api_is_reached_and_only_from_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["api"]["ports"])
    assert SERVICES["redis"]["networks"] == ["store"]
    assert COMPOSE["networks"]["store"]["internal"] is True


def test_each_process_sees_its_own_secrets_alone_and_cannot_change_them() -> None:
    mounts = {name: [one for one in service["volumes"] if "secrets-" in one] for name, service in SERVICES.items()}
    assert mounts == {
        "secrets": ["secrets-store:/secrets/store", "secrets-api:/secrets/api", "secrets-worker:/secrets/worker"],
        "redis": ["secrets-store:/run/spotter:ro"],
        "api": ["secrets-api:/run/spotter:ro"],
        "worker": ["secrets-worker:/run/spotter:ro"],
        "models": [],
    }
    assert SERVICES["secrets"]["network_mode"] == "none"
    assert not re.search(r"(?i)password=|redis://[^$]*@", TEXT)
    assert "--aclfile /run/spotter/users.acl" in " ".join(SERVICES["redis"]["command"])


def test_a_worker_cannot_change_models() -> None:
    assert any(one.endswith(":/models:ro") for one in SERVICES["worker"]["volumes"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_confined_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "logging", "tmpfs", "restart"} <= set(service)
    assert "privileged" not in service


def test_targets_exist() -> None:
    assert {"api", "worker"} <= BUILT <= set(STAGES)


def test_stages_are_made_of_known_images() -> None:
    # A syntax line, as another base, would be one more thing to fetch from a registry.
    assert "syntax=" not in DOCKERFILE
    assert {lines[0].split(" AS ")[0] for lines in STAGES.values()} <= {"python:3.11-slim", *STAGES}


@pytest.mark.parametrize("target", sorted(BUILT))
def test_images_run_without_root(target: str) -> None:
    users = [line.split()[1] for line in STAGES[target] if line.startswith("USER ")]
    assert users == ["10001:10001"]


@pytest.mark.parametrize(
    ("target", "packages"),
    [("api", {"api", "shared"}), ("worker", {"worker", "shared"}), ("zoo", {"spotter", "zoo", "shared"})],
)
def test_images_hold_their_own_code(target: str, packages: set[str]) -> None:
    copied = {line.split()[1] for line in STAGES[target] if line.startswith("COPY ") and "--from" not in line}
    assert copied == packages


def test_what_is_copied_reaches_the_engine() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    mounted = set(re.findall(r"type=bind,source=([^,\s]+)", DOCKERFILE))
    assert copied | mounted == allowed
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.parametrize(
    ("side", "absent"),
    [
        ("api", {"numpy", "onnxruntime", "onnxruntime-openvino", "opencv-python-headless", "onnx"}),
        ("worker", {"fastapi", "uvicorn", "onnx", "typer"}),
        ("zoo", {"fastapi", "onnxruntime", "onnxruntime-openvino", "opencv-python-headless"}),
    ],
)
def test_locks_hold_one_side_alone(side: str, absent: set[str]) -> None:
    assert not absent & set(locked(side))


@pytest.mark.parametrize("side", ["api", "worker", "zoo"])
def test_images_and_the_local_stack_agree_on_versions(side: str) -> None:
    local = locked("local")
    assert {name: versions for name, versions in locked(side).items() if not versions <= local.get(name, set())} == {}
