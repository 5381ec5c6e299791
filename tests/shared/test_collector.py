"""What is there at the start is left out of collections; what comes later is not."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, weakref
import api.main
from shared.collector import spare_collections

class Ring:
    def __init__(self):
        self.me = self

spare_collections()
usual = gc.get_threshold()
spare_collections(rarely=True)
rarer = gc.get_threshold()
later = weakref.ref(Ring())
print(len(gc.get_objects()), gc.get_freeze_count() > 50_000, gc.collect() > 0, later() is None,
      rarer[:2] == usual[:2] and rarer[2] > usual[2])
"""


def test_collections_look_only_at_what_came_after_the_start() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    tracked, *rest = ran.stdout.split()
    assert int(tracked) < 1_000
    assert rest == ["True", "True", "True", "True"]
