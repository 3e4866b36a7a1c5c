"""`docs/reference/errors.md` and `limits.md` are made from the code. MILLSTREAM_REGEN=1 writes them anew."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream import errors, limits

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
REGEN = "`MILLSTREAM_REGEN=1 make test ARGS=tests/docs/test_reference.py` writes it anew."
ROOMS = ["core", "messages", "objects", "protocols", "providers", "relay", "server", "streams", "tools"]
ERRORS_HEAD = """# Errors

Made from the code; {regen}

Every exception that millstream raises is one of these; those of your own functions come through unchanged. They hold
facts as attributes. Their text never contains a key, and at most 40 bytes of payload.

```text
{tree}
```

`kind` names an error on the wire, in logs and in metrics. *Retry* says whether the same request may succeed if it is
sent again, unless the error at hand says otherwise (`retryable`).

| exception | kind | retry | means | attributes of its own |
|---|---|---|---|---|"""
LIMITS_HEAD = """# Limits

Made from the code; {regen}

## `millstream.Limits`

For whatever takes `limits=`: streams, decoders, providers. All are on by default, none can be switched off; passing one
raises `LimitExceeded`, which names the option and its value.

| limit | default | why |
|---|---|---|"""
OPTIONS_HEAD = """
## Options

Bounds that are arguments of one class or function.

| of | option | default | means |
|---|---|---|---|"""
CAP = re.compile(r"^(max_\w+|\w+_(bytes|seconds|timeout|limit|ttl))$")


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def meaning(doc: str) -> str:
    """The first paragraph of a docstring."""
    return cell(inspect.cleandoc(doc).partition("\n\n")[0])


def documented(doc: str, section: str) -> dict[str, str]:
    """The items of a section such as `Args:`, by name."""
    found = re.search(rf"^{section}:\n((?:    .*\n?|\n)+)", inspect.cleandoc(doc), re.MULTILINE)
    items = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", found[1], re.MULTILINE) if found else []
    return {name: cell(text) for name, text in items}


# --- errors.md -------------------------------------------------------------------------------------------------


def tree() -> str:
    doc = errors.__doc__ or ""
    return inspect.cleandoc("\n" + doc[doc.index("    MillstreamError") : doc.index("\n\nExceptions hold")])


def errors_page() -> str:
    lines = [ERRORS_HEAD.format(regen=REGEN, tree=tree())]
    for name in sorted(errors.__all__, key=lambda name: (len(getattr(errors, name).__mro__), name)):
        cls = getattr(errors, name)
        stream = issubclass(cls, errors.StreamError)
        kind = f"`{cls.kind}`" if stream else ""
        own = documented(cls.__doc__, "Attributes")
        lines.append(
            f"| `{name}` | {kind} | {('yes' if cls.retryable else 'no') if stream else ''} | {meaning(cls.__doc__)} | "
            + "; ".join(f"`{key}`: {text.rstrip('.')}" for key, text in own.items())
            + " |"
        )
    return "\n".join(lines) + "\n"


# --- limits.md -------------------------------------------------------------------------------------------------


def fields() -> Iterator[tuple[str, object, str]]:
    """Name, default and docstring of each limit."""
    [cls] = [n for n in ast.parse(inspect.getsource(limits)).body if isinstance(n, ast.ClassDef)]
    docs = {}
    for node, after in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)
            docs[node.target.id] = cell(str(after.value.value))
    for field in dataclasses.fields(limits.Limits):
        yield field.name, field.default, docs[field.name]


def options() -> Iterator[tuple[str, str, str, str]]:
    """Owner, name, default and description of each parameter of the public API that is a cap."""
    for room in ROOMS:
        module = importlib.import_module(f"millstream.{room}")
        for name in sorted(module.__all__):
            owner = getattr(module, name)
            if inspect.isclass(owner) or inspect.isfunction(owner):
                yield from caps(name, owner)
            if inspect.isclass(owner):
                for method, function in inspect.getmembers(owner, inspect.isfunction):
                    if not method.startswith("_"):
                        yield from caps(f"{name}.{method}", function)


def caps(owner: str, function: Callable[..., object]) -> Iterator[tuple[str, str, str, str]]:
    try:
        parameters = {p.name: p.default for p in inspect.signature(function).parameters.values()}
    except ValueError:
        parameters = stubbed(function)
    told = documented(function.__doc__ or "", "Args")
    for name, default in parameters.items():
        if CAP.match(name) and default is not inspect.Parameter.empty and name in told:
            yield owner, name, shown(default), told[name]


def stubbed(cls: Callable[..., object]) -> dict[str, object]:
    """Names and defaults of the keyword arguments of a compiled class, from its stub."""
    stub = ROOT / "src" / f"{cls.__module__.replace('.', '/')}.pyi"
    for node in ast.walk(ast.parse(stub.read_text() if stub.exists() else "")):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            for made in node.body:
                if isinstance(made, ast.FunctionDef) and made.name == "__new__":
                    pairs = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
                    return {arg.arg: ast.literal_eval(default) for arg, default in pairs if default is not None}
    return {}


def shown(value: object) -> str:
    if isinstance(value, int) and value >= 1024 * 1024 and value % (1024 * 1024) == 0:
        return f"{value // (1024 * 1024)} MiB"
    if isinstance(value, int) and value >= 1024 and value % 1024 == 0:
        return f"{value // 1024} KiB"
    return "none" if value is None else f"{value:,}" if isinstance(value, int | float) else f"`{value!r}`"


def limits_page() -> str:
    lines = [LIMITS_HEAD.format(regen=REGEN)]
    lines += [f"| `{name}` | {shown(default)} | {why} |" for name, default, why in fields()]
    lines.append(OPTIONS_HEAD)
    lines += [f"| `{owner}` | `{name}` | {default} | {text} |" for owner, name, default, text in options()]
    return "\n".join(lines) + "\n"


# --- the tests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "page"), [("errors.md", errors_page), ("limits.md", limits_page)])
def test_the_page_is_up_to_date(name: str, page: Callable[[], str]) -> None:
    if os.environ.get("MILLSTREAM_REGEN") == "1":
        (REFERENCE / name).write_text(page())
    assert (REFERENCE / name).read_text() == page()


def test_the_tree_names_each_error_once_under_its_base() -> None:
    """The tree is written by hand, in `errors.py`: its indentation is the inheritance."""
    path: list[str] = []
    named = []
    for line in tree().splitlines():
        found = re.match(r"([│├└─ ]*)(\w+)", line)
        assert found is not None
        depth = len(found[1]) // 4
        path = [*path[:depth], found[2]]
        cls = getattr(errors, found[2])
        assert [base.__name__ for base in cls.__bases__[:1]] == (path[-2:-1] or ["Exception"])
        named.append(found[2])
    assert sorted(named) == sorted(errors.__all__)
