"""Percentiles and medians of a bench, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import over_rounds, percentile, ratios

VALUES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=60)


@given(VALUES, st.sampled_from([0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_numpys_nearest_rank(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_a_percentile_of_a_hundred_is_the_one_at_its_rank() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (1, 50, 99, 99.9, 100)] == [1, 50, 99, 100, 100]


@pytest.mark.parametrize(("values", "percent"), [([], 50.0), ([1.0], -1.0), ([1.0], 100.5)])
def test_what_has_no_percentile_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_rounds_are_shown_by_their_median_and_their_ends() -> None:
    assert over_rounds([3.0, 1.26, 2.0], 1) == {"median": 2.0, "low": 1.3, "high": 3.0}


def test_ratios_are_of_the_same_round_and_need_as_many_on_both_sides() -> None:
    assert ratios([1.0, 9.0], [2.0, 3.0]) == [0.5, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])
