"""What a docstring says: the words for the function, and those for each parameter.

Knows the styles of Google (`Args:`), NumPy (`Parameters` underlined) and Sphinx (`:param x:`). Sections on results and
exceptions are left out: they speak to whoever calls the function in Python. Cost: one pass over the lines.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection

__all__ = ["read_docstring"]

PARAMETERS = ("args", "arguments", "parameters", "params", "keyword args", "keyword arguments")
LEFT_OUT = ("returns", "return", "raises", "yields", "yield", "throws")

SECTION = re.compile(r"([A-Z][A-Za-z ]*?):(?:\s+(.*))?$")
UNDERLINE = re.compile(r"(-{3,}|={3,})$")
SPHINX = re.compile(r":(param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+):\s*(.*)$")
SPHINX_OTHER = re.compile(r":(\w+)(?:\s[^:]*)?:")
ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
NUMPY_ENTRY = re.compile(r"\*{0,2}(\w+)(?:\s*:.*)?$")


def read_docstring(text: str | None, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """Return the words before the sections, and what is said of the parameters.

    Args: text: as it stands in the source, None for none. names: the parameters there are.
    """
    lines = inspect.cleandoc(text or "").splitlines()
    words: list[str] = []
    entries: dict[str, list[str]] = {}
    part, current, numpy, margin = "words", "", False, 0
    for i, line in enumerate(lines):
        stripped = line.strip()
        at_margin = bool(stripped) and not line[0].isspace()
        if UNDERLINE.match(stripped) and part != "words" and numpy:
            continue
        underlined = i + 1 < len(lines) and UNDERLINE.match(lines[i + 1].strip()) is not None
        if at_margin and underlined:
            part, current, numpy = _part(stripped), "", True
            if part == "words":
                words.append(line)
            continue
        if at_margin and (section := SECTION.match(stripped)) and _part(section[1]) != "words":
            part, current, numpy = _part(section[1]), "", False
            stripped = section[2] or ""
        elif at_margin and (field := SPHINX.match(stripped)) and field[2] in names:
            part, current = "parameters", field[2]
            entries[current] = [field[3]]
            continue
        elif at_margin and (SPHINX_OTHER.match(stripped)):
            part, current = "left out", ""
            continue
        elif at_margin and not numpy and part != "words" and (i == 0 or not lines[i - 1].strip()):
            part, current = "words", ""  # prose again, after an empty line
        if part == "words":
            words.append(line)
        elif part == "parameters" and stripped:
            indent = len(line) - len(line.lstrip())
            entry = (NUMPY_ENTRY if numpy else ENTRY).match(stripped)
            if entry and (at_margin if numpy else not entries or indent <= margin):
                current, margin = entry[1], indent
                entries[current] = [] if numpy else [entry[2]]
            elif current:
                entries[current].append(stripped)
    told = {name: " ".join(filter(None, said)) for name, said in entries.items() if name in names and any(said)}
    return "\n".join(words).strip(), told


def _part(title: str) -> str:
    title = title.strip().lower()
    return "parameters" if title in PARAMETERS else "left out" if title in LEFT_OUT else "words"
