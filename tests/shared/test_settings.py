"""Settings: read once, checked, masked, and all of them in `.env.example`."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from shared.errors import StartupError
from shared.settings import Settings, load

EXAMPLE = Path(__file__).parent.parent.parent / ".env.example"


def test_lists_networks_and_empty_values_are_read() -> None:
    os.environ |= {
        "SPOTTER_FETCH_ALLOW": "10.0.0.0/8, 127.0.0.0/8",
        "SPOTTER_FETCH_DENY": "203.0.113.0/24,2001:db8::/32",
        "SPOTTER_MODELS": "a,b",
        "SPOTTER_FETCH_PORTS": "80,8080",
        "SPOTTER_S3_ENDPOINT": "",
        "SPOTTER_WEBHOOK_RETRY_S": "1, 2.5",
    }
    settings = load()
    assert settings.fetch_allow == (ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"))
    assert settings.fetch_deny == (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
    assert settings.models == ("a", "b")
    assert settings.fetch_ports == (80, 8080)
    assert settings.s3_endpoint is None
    assert settings.webhook_retry_s == (1, 2.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BATCH", "-1"),
        ("LEASE_S", "x"),
        ("FETCH_ALLOW", "10.0.0.1/8"),
        ("PROVIDER", "tpu"),
        ("WEBHOOK_SECRET", "s"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(name: str, value: str) -> None:
    os.environ["SPOTTER_" + name] = value
    with pytest.raises(StartupError, match=f"SPOTTER_{name}"):
        load()


def test_secrets_are_never_shown() -> None:
    os.environ |= {"SPOTTER_REDIS_URL": "redis://:hunter2@h/0", "SPOTTER_S3_SECRET_KEY": "hunter2"}
    assert "hunter2" not in repr(load()) + str(load())


def test_secrets_come_from_files_and_a_variable_goes_before(tmp_path: Path) -> None:
    (tmp_path / "spotter_redis_url").write_text("redis://api:geheim@h/0\n")
    (tmp_path / "spotter_s3_secret_key").write_text("from a file")
    os.environ |= {"SPOTTER_SECRETS_DIR": str(tmp_path), "SPOTTER_S3_SECRET_KEY": "from a variable"}
    settings = load()
    assert settings.redis_url.get_secret_value() == "redis://api:geheim@h/0"
    assert settings.s3_secret_key is not None
    assert settings.s3_secret_key.get_secret_value() == "from a variable"
    assert "geheim" not in repr(settings)


def test_a_missing_folder_of_secrets_stops_the_start(tmp_path: Path) -> None:
    os.environ["SPOTTER_SECRETS_DIR"] = f"{tmp_path},{tmp_path / 'none'}"
    with pytest.raises(StartupError, match=r"SPOTTER_SECRETS_DIR: .*none cannot be read"):
        load()


def test_the_example_names_every_setting_with_its_default() -> None:
    lines = EXAMPLE.read_text().splitlines()
    named = {}
    for line in lines:
        if found := re.match(r"#?\s?SPOTTER_([A-Z0-9_]+)=(.*)$", line):
            named[found[1].lower()] = found[2].split("  #")[0].strip()
    fields = Settings.model_fields
    assert set(named) == set(fields)
    os.environ |= {f"SPOTTER_{name.upper()}": text for name, text in named.items()}
    assert load() == Settings(), "the example's values are the defaults"
    assert all(field.description for field in fields.values())
