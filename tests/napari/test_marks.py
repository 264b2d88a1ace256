from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_noise2self._napari.marks import few_marks, marks


def test_marks_are_round_and_inside() -> None:
    assert marks(0.05, 1.6) == [0.05, 0.1, 0.2, 0.5, 1.0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.39, 0.52, [0.4, 0.5]),
        (0.416, 0.453, [0.42, 0.44]),
        (0.3, 1.2, [0.5, 1.0]),
        (0.02, 3, [0.1, 1.0]),
    ],
)
def test_few_marks_are_the_roundest(low: float, high: float, expected: list[float]) -> None:
    assert few_marks(low, high) == expected


@given(st.floats(1e-4, 1e4), st.floats(1.05, 30))
def test_few_marks_are_two_at_least_and_inside(low: float, ratio: float) -> None:
    found = few_marks(low, low * ratio)
    assert 2 <= len(found) <= 5
    assert low * 0.999 <= found[0]
    assert found[-1] <= low * ratio * 1.001
