"""Figures in the text format of Prometheus. Pure; knows no gateway.

Source: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4. Labels come from the configuration, never
from a client, so the number of series is bounded.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

__all__ = ["MEDIA_TYPE", "Histogram", "Kind", "Sample", "family"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""Suffix of the name, labels, value."""


class Histogram:
    """Counts values in buckets.

    Args: bounds: the upper bounds, rising; a bucket without bound is added.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self, labels: Labels) -> Iterable[Sample]:
        """Give the samples of its family."""
        total = 0
        for bound, count in zip((*self._bounds, math.inf), self._counts, strict=True):
            total += count
            yield "_bucket", {**labels, "le": _number(bound)}, total
        yield "_sum", labels, self._sum
        yield "_count", labels, total


def family(name: str, kind: Kind, help: str, samples: Iterable[Sample], common: Labels) -> str:
    """Write a family of metrics with its lines of help and type.

    Args: common: labels that every sample gets.
    """
    lines = [f"# HELP {name} {_escaped(help)}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        shown = ",".join(f'{key}="{_quoted(text)}"' for key, text in {**common, **labels}.items())
        lines.append(f"{name}{suffix}{{{shown}}} {_number(value)}" if shown else f"{name}{suffix} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value)).removesuffix(".0")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
