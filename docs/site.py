"""What the documentation site (mkdocs.yml) adds to the pages: a table of contents, files of the repository, docstrings.

- The contents are those of docs/index.md, in its order.
- A link out of docs/, such as to an example, leads to a page with that file: the site needs no other site.
- Docstrings have sections such as `Args:`, which become lists.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Callable

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
LINK = re.compile(r"""(\]\(|\b(?:src|srcset|href)=")([^)\s"#]+)""")  # Markdown's and HTML's
FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^([A-Z][a-z]+)( [a-z ]+)?: ?(.*)$")
ITEM = re.compile(r"^ {4}([\w*]+(?:, [\w*]+)*): (.*)$")
SECTIONS = {"Args", "Attributes", "Cost", "Example", "Raises", "Returns", "Source", "Yields"}


def on_config(config: MkDocsConfig) -> None:
    nav: list[Any] = [{"Start": "index.md"}, {"Tutorial": "tutorial.md"}]
    for section in re.split(r"^## ", (DOCS / "index.md").read_text(), flags=re.MULTILINE)[1:]:
        pages = re.findall(r"^\| \[([^\]]+)\]\(([\w/]+\.md)\)", section, re.MULTILINE)
        if pages:
            nav.append({section.partition("\n")[0]: [{title.strip("`"): path} for title, path in pages]})
    config.nav = nav


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add a page for every file outside of docs/ that a page, or such a file, links to."""
    waiting = [(DOCS / file.src_uri, file.content_string) for file in files.documentation_pages()]
    while waiting:
        path, text = waiting.pop()
        for target in outside(path, text):
            uri = uri_of(target)
            if files.get_file_from_path(uri) is None:
                content = content_of(target)
                if isinstance(content, str):
                    waiting.append((target, content))
                    content = rewrite(content, target, uri)
                files.append(File.generated(config, uri, content=content))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    uri = page.file.src_uri
    return markdown if uri.startswith("repository/") else rewrite(markdown, DOCS / uri, uri)


def prose(text: str, change: Callable[[str], str]) -> str:
    """Change what stands outside of code blocks."""
    return "".join(part if i % 2 else change(part) for i, part in enumerate(FENCE.split(text)))


def resolve(path: Path, link: str) -> Path | None:
    """The file of the repository that `link` means on the page `path`; None if it leads elsewhere."""
    target = Path(os.path.normpath((path if path.is_dir() else path.parent) / link))
    return target if ":" not in link and target.exists() and target.is_relative_to(ROOT) else None


def is_page(target: Path) -> bool:
    return target.is_relative_to(DOCS) and target.suffix == ".md" and DOCS / "changes" not in target.parents


def outside(path: Path, text: str) -> set[Path]:
    targets = {resolve(path, link) for part in FENCE.split(text)[::2] for _, link in LINK.findall(part)}
    return {target for target in targets if target is not None and not is_page(target)}


def uri_of(target: Path) -> str:
    name = target.relative_to(ROOT).as_posix()
    return f"repository/{name}" if target.suffix in {".md", ".svg", ".png"} else f"repository/{name}.md"


def content_of(target: Path) -> str | bytes:
    name = target.relative_to(ROOT).as_posix()
    if target.is_dir():
        if (target / "README.md").exists():
            return (target / "README.md").read_text()
        files = sorted(p for p in target.iterdir() if p.is_file() and p.suffix in {".md", ".py", ".h", ".pyx"})
        if all(p.suffix == ".md" for p in files):
            return f"# {name}\n\n" + "\n".join(p.read_text() for p in files)
        return f"# {name}\n\n" + "\n".join(f"- [`{p.name}`]({p.name})" for p in files)
    if target.suffix in {".svg", ".png"}:
        return target.read_bytes()
    text = target.read_text()
    return text if target.suffix == ".md" else f"# {name}\n\n````{target.suffix[1:]}\n{text}````\n"


def rewrite(text: str, path: Path, uri: str) -> str:
    """Let the links of the page `uri`, made of the file `path`, lead to where the site has their targets."""

    def change(match: re.Match[str]) -> str:
        target = resolve(path, match[2])
        if target is None:
            return match[0]
        there = target.relative_to(DOCS).as_posix() if is_page(target) else uri_of(target)
        return match[1] + os.path.relpath(there, os.path.dirname(uri))

    return prose(text, lambda part: LINK.sub(change, part))


class Docstrings(griffe.Extension):
    """`Args: x: ...` and the other sections of our docstrings as Markdown, without what Python and Cython put there."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is None:
            return
        compiled = obj.module.analysis == "dynamic"
        if obj.docstring.value.startswith("Initialize self.") or (
            compiled and obj.is_attribute and "property" not in obj.labels
        ):
            obj.docstring = None  # that of `object`, or of the class of a constant
        else:
            text = (
                re.sub(r"\A\w+(\.\w+)*\(.*\)( -> .*)?\n+", "", obj.docstring.value) if compiled else obj.docstring.value
            )
            obj.docstring.value = as_markdown(text)


def as_markdown(docstring: str) -> str:
    lines: list[str] = []
    inside = False
    for line in docstring.splitlines():
        section, item = SECTION.match(line), ITEM.match(line)
        if section and section[1] in SECTIONS:
            inside = True
            first = ITEM.match(" " * 4 + section[3])
            rest = f"`{first[1]}`: {first[2]}" if first else section[3]
            lines += ["", f"**{section[1]}{section[2] or ''}** {rest}", ""]
        elif inside and item:
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif inside and line.startswith("    "):
            if lines[-1] == "":
                lines.pop()
            lines.append(f"  {line.strip()}")
        else:
            inside = inside and not line
            lines.append(line)
    return "\n".join(lines)
