"""The house rules that a machine can hold: imports point one way, modules say their place, files stay small."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "shared": {"shared"},
    "api": {"api", "shared"},
    "worker": {"worker", "shared"},
    "zoo": {"zoo", "shared"},
    "spotter": {"spotter", "zoo"},
}
ZOO_FROM_SHARED = {"shared.manifest", "shared.errors"}
FORBIDDEN = {
    "shared": {"numpy", "fastapi", "starlette", "onnxruntime", "cv2", "PIL"},
    "api": {"numpy", "onnxruntime", "cv2", "onnx"},
    "worker": {"fastapi", "starlette", "uvicorn", "onnx"},
    "zoo": {"celery", "fastapi", "onnxruntime", "cv2", "redis"},
    "spotter": {"fastapi", "onnxruntime", "cv2", "celery", "numpy"},
}
ALLOWED = {("zoo/precision/int8.py", "onnxruntime")}
"""Calibration runs the model; nothing else of the zoo does."""
MAX_LINES = 300
NO_NAMES = {"utils", "util", "helper", "helpers", "manager", "base", "misc", "common"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in MAY_IMPORT:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield package, path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in MAY_IMPORT:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


EVERY = [pytest.param(package, path, id=str(path.relative_to(ROOT))) for package, path in modules()]


@pytest.mark.parametrize(("package", "path"), EVERY)
def test_imports_point_one_way(package: str, path: Path) -> None:
    for name in imported(path):
        top = name.split(".")[0]
        if top in MAY_IMPORT:
            assert top in MAY_IMPORT[package], f"{package} must not import {name}"
            if package == "zoo" and top == "shared":
                assert name in ZOO_FROM_SHARED, f"zoo takes only the model contract from shared, not {name}"
        if (str(path.relative_to(ROOT)), top) not in ALLOWED:
            assert top not in FORBIDDEN[package], f"{package} must not import {name}"


@pytest.mark.parametrize(("package", "path"), EVERY)
def test_every_module_says_its_place_and_stays_small(package: str, path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path.name} does not say what it is for"
    assert len(text.splitlines()) <= MAX_LINES
    assert path.stem not in NO_NAMES


def test_only_settings_read_the_environment() -> None:
    for package, path in modules():
        if package in ("shared", "api", "worker"):
            names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
            assert not names & {"environ", "getenv"}, f"{path.name} reads the environment; shared/settings.py does that"


def test_the_layout_is_that_of_the_installed_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {".".join(path.parent.relative_to(ROOT).parts) for _, path in modules() if path.name == "__init__.py"}
    assert set(project["tool"]["setuptools"]["packages"]) == found
    assert sys.version_info >= (3, 11)
