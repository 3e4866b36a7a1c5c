"""Every link of README and docs to a file or a heading of this repository leads there, as it is read on GitHub."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.test_blocks import PAGES, name

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z]+:")


def prose(page: Path) -> str:
    """The page without its code, in which brackets mean something else."""
    text = re.sub(r"^( *)```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]+`", lambda found: re.sub(r"[\[\]()]", "", found[0]), text)


def anchors(page: Path) -> set[str]:
    """What headings are called in addresses: GitHub's rule."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_a_link_without_its_heading_is_found() -> None:
    page = next(page for page in PAGES if page.name == "tune.md")
    assert {"a-buffer", "the-http-client-and-the-loop"} <= anchors(page)
    assert "a-bufer" not in anchors(page)
