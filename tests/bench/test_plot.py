"""Plots are well-formed, say all that they are given, and put it where its value belongs."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench.plot import Dot, Line, dots, lines

ROWS = [Dot("ours", 10, "10 ns", "own"), Dot("a <peer> & more", 1000, "1,000 ns"), Dot("floor", 100, "100 ns", "floor")]
NS = "{http://www.w3.org/2000/svg}"


def circles(svg: str) -> list[tuple[str, float, float]]:
    root = ElementTree.fromstring(svg)
    return [
        (c.get("class", ""), float(c.get("cx", "nan")), float(c.get("cy", "nan"))) for c in root.iter(f"{NS}circle")
    ]


def said(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{NS}text")]


def test_dots_stand_on_a_logarithmic_scale_in_the_order_given() -> None:
    found = circles(dots("Title", "Note", ROWS, "ns"))
    assert [kind for kind, _, _ in found] == ["own", "peer", "floor"]
    (_, own, top), (_, peer, middle), (_, floor, bottom) = found
    assert top < middle < bottom
    assert floor - own == pytest.approx(peer - floor, abs=0.2)
    assert peer > floor > own


def test_all_is_said_and_escaped() -> None:
    words = said(dots("Title", "Note", ROWS, "ns"))
    assert {"Title", "Note", "ns", "a <peer> & more", "1,000 ns"} <= set(words)


def test_nothing_stands_outside() -> None:
    svg = dots("Title", "Note", [*ROWS, Dot("far", 9.9e5, "990 us"), Dot("near", 0.011, "0.011 ns")], "ns")
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert all(0 < x < width - 60 and 0 < y < height for _, x, y in circles(svg))


def test_lines_go_through_their_points() -> None:
    points = [(1e4, 20.0), (1e5, 200.0), (1e6, 2000.0)]
    svg = lines(
        "Title", "Note", [Line("ours", [(x, 10.0) for x, _ in points], "own"), Line("peer", points, "peer")], "B", "ns"
    )
    own = [y for kind, _, y in circles(svg) if kind == "own"]
    peer = [(x, y) for kind, x, y in circles(svg) if kind == "peer"]
    assert len(set(own)) == 1
    assert [x for x, _ in peer] == sorted(x for x, _ in peer)
    assert [y for _, y in peer] == sorted((y for _, y in peer), reverse=True)
    assert {"ours", "peer", "10 k", "100 k", "1 M"} <= set(said(svg))


def test_names_at_the_ends_of_lines_do_not_cover_each_other() -> None:
    several = [Line(f"peer {n}", [(1.0, 5.0), (10.0, 5.0 + n / 100)], "peer") for n in range(6)]
    root = ElementTree.fromstring(lines("Title", "Note", several, "B", "ns"))
    at = sorted(float(t.attrib["y"]) for t in root.iter(f"{NS}text") if (t.text or "").startswith("peer"))
    assert min(b - a for a, b in pairwise(at)) >= 14


def test_every_colour_has_a_dark_one() -> None:
    style = ElementTree.fromstring(dots("Title", "Note", ROWS, "ns")).find(f"{NS}style")
    assert style is not None
    light, dark = (style.text or "").split("@media (prefers-color-scheme: dark)")
    names = [set(re.findall(r"\.(\w+) \{ (?:fill: #|stroke: #|color: #)", part)) for part in (light, dark)]
    assert names[0] == names[1] >= {"ground", "grid", "stem", "faint", "own", "peer", "floor"}


@pytest.mark.parametrize("rows", [[], [Dot("a", 0, "0")], [Dot("a", -1, "-1")]])
def test_what_has_no_logarithm_is_refused(rows: list[Dot]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        dots("Title", "Note", rows, "ns")


def test_the_committed_plots_are_well_formed() -> None:
    found = sorted((Path(__file__).parents[2] / "docs" / "images").glob("bench_*.svg"))
    assert len(found) >= 5
    for path in found:
        assert circles(path.read_text(encoding="utf-8")), path.name
