"""Each darknet layer against both forks of darknet: as recorded, and the original itself where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference.record_layers import sample
from tests.zoo import zoo_cases
from tests.zoo.zoo_numpy import layer_outputs
from tests.zoo.zoo_run import assert_close, layer_output, pictures

HERE = Path(__file__).parent
LIBRARY = Path("/usr/lib/darknet/libdarknet.so")
CASES = {"alexeyab": zoo_cases.ALEXEYAB, "original": zoo_cases.ORIGINAL}
RECORDS: dict[str, Any] = {fork: json.loads((HERE / f"layers_{fork}.json").read_text()) for fork in CASES}


def check(record: dict[str, Any], name: str, layers: list[str], folder: Path) -> None:
    """Our ONNX, in a batch, and the NumPy pass against what darknet said."""
    cfg = zoo_cases.network(*layers)
    values = zoo_cases.values(name, cfg)
    weights = zoo_cases.weights_file(name, values, folder)
    images = pictures(1, zoo_cases.WIDTH, zoo_cases.HEIGHT)
    reference = np.array(record["values"])
    batch = np.concatenate([images, pictures(2, zoo_cases.WIDTH, zoo_cases.HEIGHT, seed=1)])
    found = layer_output(cfg, weights, batch)
    assert list(found.shape[1:]) == record["shape"]
    assert_close(sample(found[0]), reference)
    assert_close(sample(layer_outputs(cfg, values, images)[-1][0]), reference)


@pytest.mark.parametrize(("fork", "name"), [(fork, name) for fork, cases in CASES.items() for name in cases])
def test_layer_equals_darknet_as_recorded(fork: str, name: str, tmp_path: Path) -> None:
    check(RECORDS[fork]["cases"][name], name, CASES[fork][name], tmp_path)


@pytest.mark.skipif(not LIBRARY.is_file(), reason="the original darknet (Debian's package darknet) is not installed")
def test_layers_equal_darknet_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reference.record_layers", "original", str(LIBRARY)],
        cwd=HERE.parents[1],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},  # the library is linked with a window toolkit
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )
    live = json.loads(done.stdout)["cases"]
    assert live.keys() == zoo_cases.ORIGINAL.keys()
    for name, layers in zoo_cases.ORIGINAL.items():
        check(live[name], name, layers, tmp_path)
