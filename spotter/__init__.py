"""What users import and type: the SDK (`from spotter import Spotter`), the local stack and the `spotter` command."""

from spotter.client import Spotter
from spotter.errors import (
    SpotterApiError,
    SpotterClientError,
    SpotterSignatureError,
    SpotterTimeout,
    SpotterUnreachable,
)
from spotter.following import Event
from spotter.job import Box, Counts, Detection, Failure, Job, Picture

__all__ = [
    "Box",
    "Counts",
    "Detection",
    "Event",
    "Failure",
    "Job",
    "Picture",
    "Spotter",
    "SpotterApiError",
    "SpotterClientError",
    "SpotterSignatureError",
    "SpotterTimeout",
    "SpotterUnreachable",
]
