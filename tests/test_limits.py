"""Limits: each is positive, and what is no `Limits` is refused at the call."""

from __future__ import annotations

import dataclasses

import pytest

import millstream as ms
from millstream.limits import DEFAULT_LIMITS, refuse_no_limits

NAMES = [field.name for field in dataclasses.fields(ms.Limits)]


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_is_positive_and_the_error_names_it(name: str) -> None:
    assert getattr(ms.Limits(**{name: 1}), name) == 1
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be positive, got {value}"):
            ms.Limits(**{name: value})


def test_the_default_is_what_nobody_has_set() -> None:
    assert ms.Limits() == DEFAULT_LIMITS


@pytest.mark.parametrize("given", [None, 5, {"max_event_bytes": 5}, ms.Limits])
def test_what_is_no_limits_is_refused_and_told_how_to_write_it(given: object) -> None:
    refuse_no_limits(DEFAULT_LIMITS)
    with pytest.raises(TypeError, match=r"must be a millstream.Limits, as in Limits\(max_event_bytes=...\), not"):
        refuse_no_limits(given)
