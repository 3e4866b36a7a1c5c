"""Imports go down only: the table "Layers" of CONVENTIONS.md and section 1 of DESIGN.md, checked without importing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "millstream"

FLOORS: dict[str, int] = {"errors": 0, "limits": 0, "core": 1, "events": 2, "messages": 2, "protocols": 2}
FLOORS |= dict.fromkeys(["streams", "testing"], 3) | dict.fromkeys(["objects", "tools", "relay"], 4)
FLOORS |= dict.fromkeys(["providers", "server", "compat", "http"], 5) | {"cli": 6, "__main__": 6}

# Sideways: (importing file or folder, room it may import).
EXCEPTIONS = {("protocols", "events"), ("protocols", "messages")}
EXCEPTIONS |= {("providers/_http.py", "http")}  # inside a function: without httptools, httpx2's own transport serves

# Third-party package -> rooms, folders or files that may import it. `:lazy` means only inside a function: nobody pays
# for what he does not use.
EVERYWHERE_UP = ["streams", "testing", "objects", "tools", "relay", "providers", "server", "compat", "http", "cli"]
THIRD_PARTY: dict[str, list[str]] = {
    "anyio": EVERYWHERE_UP,
    "orjson": ["core", "events", "messages", "protocols", *EVERYWHERE_UP],
    "msgspec": ["core", "events", "messages", "protocols", *EVERYWHERE_UP],
    "httpx2": ["streams/sources", "providers", "http", "cli:lazy"],
    "httptools": ["http"],
    "redis": ["relay/redis.py:lazy"],
    "hiredis": ["relay/_direct.py:lazy"],
    "trio": ["streams/_interrupt.py:lazy"],
    "pydantic": ["objects:lazy", "tools:lazy", "compat:lazy"],
    "opentelemetry": ["streams/otel.py"],
    "botocore": ["providers/bedrock.py:lazy"],
    "google": ["providers/_google.py:lazy"],
    "rich": ["cli"],
    "uvicorn": ["cli"],
    "jiter": ["compat/_growing.py:lazy"],
}
# Floors 0 to 2 are "pure, synchronous, no I/O, no clock".
IMPURE = {"asyncio", "threading", "socket", "ssl", "selectors", "subprocess", "time", "http", "urllib"}

# Where anyio costs too much, and another file does the same on trio.
ASYNCIO = ("relay/_direct.py", "streams/_beside.py", "streams/_interrupt.py", "http/_asyncio.py", "http/_dial.py")

CYTHON_IMPORT = re.compile(r"^([ \t]*)(?:from|c?import)[ \t]+([\w.]+)(?:[ \t]+c?import[ \t]+(.*))?", re.MULTILINE)
COMPILED_AWAY = {"cython", "cpython", "libc"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(dotted name, lazy) of each import. What only type checkers see is not an import."""
    if path.suffix == ".py":
        yield from _walk(ast.parse(_text(path)), _package(path), lazy=False)
    else:
        yield from cython_imports(_text(path))


def cython_imports(text: str) -> Iterator[tuple[str, bool]]:
    for indent, module, names in CYTHON_IMPORT.findall(text):
        if module.split(".")[0] in COMPILED_AWAY:
            continue
        for name in re.findall(r"\w+", names) if module == "millstream" else [""]:
            yield f"{module}.{name}".rstrip("."), bool(indent)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _package(path: Path) -> list[str]:
    return ["millstream", *path.relative_to(SRC).parent.parts]


def _walk(node: ast.AST, package: list[str], *, lazy: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = ".".join(package[: len(package) - child.level + 1]) if child.level else ""
            module = ".".join(filter(None, [base, child.module]))
            # `from millstream import x`: x is the room.
            yield from ((f"{module}.{alias.name}", lazy) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _walk(ast.Module([other], []), package, lazy=lazy)
        else:
            yield from _walk(child, package, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def complaint(file: str, name: str, *, lazy: bool) -> str | None:
    """What is wrong with importing `name` in `file` (a path inside src/millstream), or None."""
    room = file.split("/")[0].removesuffix(".py")
    top, _, rest = name.partition(".")
    if room not in FLOORS:
        return f"{room} has no floor: add it to FLOORS"
    if top == "millstream":
        return _inside(file, room, rest.split(".")[0])
    if top in sys.stdlib_module_names:
        bad = (top == "asyncio" and file not in ASYNCIO) or (top in IMPURE and FLOORS[room] <= 2)
        return f"{top} below floor 3 (asyncio: only in {', '.join(ASYNCIO)}; anyio instead)" if bad else None
    for place in THIRD_PARTY.get(top, []):
        where, _, only_lazy = place.partition(":")
        if (file == where or file.startswith(where + "/") or room == where) and (lazy or not only_lazy):
            return None
    return f"{top} may not be imported here" + ("" if lazy else " (or only inside a function)")


def _inside(file: str, room: str, target: str) -> str | None:
    if target == room:
        return None
    if FLOORS.get(room) == 0:
        return f"{room} is a leaf and imports nothing of the package"
    if target not in FLOORS and FLOORS[room] == 6:
        return None  # the roof is a user of the package like others
    if target not in FLOORS:
        return f"millstream.{target}: import from the room that defines it, not from the top"
    if FLOORS[target] < FLOORS[room] or (room, target) in EXCEPTIONS or (file, target) in EXCEPTIONS:
        return None
    return f"{room} (floor {FLOORS[room]}) may not import {target} (floor {FLOORS[target]})"


FILES = sorted(
    path for pattern in ("*.py", "*.pyx", "*.pxd") for path in SRC.rglob(pattern) if path != SRC / "__init__.py"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_imports_go_down(path: Path) -> None:
    file = path.relative_to(SRC).as_posix()
    found = [(name, complaint(file, name, lazy=lazy)) for name, lazy in imports(path)]
    assert [f"{name}: {text}" for name, text in found if text] == []


@pytest.mark.parametrize(
    ("file", "name", "lazy"),
    [
        ("errors.py", "millstream.limits", False),
        ("core/_sse.pyx", "millstream.events", False),
        ("core/_sse.pyx", "anyio", False),
        ("core/_sse.pyx", "asyncio", False),
        ("events/text.py", "millstream.protocols", False),
        ("events/text.py", "millstream.messages", False),
        ("events/text.py", "anyio", True),
        ("protocols/ollama.py", "anyio", False),
        ("protocols/ollama.py", "time", False),
        ("protocols/ollama.py", "millstream.streams", True),
        ("protocols/ollama.py", "millstream.SSEParser", False),
        ("streams/_stream.py", "millstream.tools", False),
        ("streams/_stream.py", "httpx2", False),
        ("streams/_stream.py", "asyncio", False),
        ("streams/operators/_interrupt.py", "asyncio", False),
        ("tools/runner.py", "millstream.objects", False),
        ("tools/runner.py", "millstream.providers", False),
        ("relay/redis.py", "redis.asyncio", False),
        ("relay/memory.py", "redis", True),
        ("server/responses.py", "millstream.providers", False),
        ("server/gateway/app.py", "millstream.providers", False),
        ("server/responses.py", "starlette.responses", True),
        ("providers/openai.py", "millstream.server", False),
        ("compat/openai.py", "openai", False),
        ("cli/chat.py", "httpx2", False),
        ("providers/openai.py", "rich", True),
        ("attic/x.py", "json", False),
    ],
)
def test_a_bad_import_is_flagged(file: str, name: str, lazy: bool) -> None:
    assert complaint(file, name, lazy=lazy)


@pytest.mark.parametrize(
    ("file", "name", "lazy"),
    [
        ("errors.py", "typing", False),
        ("core/_sse.pyx", "millstream.errors.ParserClosed", False),
        ("core/_sse.pyx", "orjson", False),
        ("protocols/ollama.py", "millstream.events.TextDelta", False),
        ("streams/sources/http.py", "httpx2", False),
        ("relay/redis.py", "redis.asyncio", True),
        ("cli/chat.py", "millstream.server", False),
        ("cli/chat.py", "millstream", False),
        ("cli/chat.py", "rich.console", False),
    ],
)
def test_a_good_import_passes(file: str, name: str, lazy: bool) -> None:
    assert complaint(file, name, lazy=lazy) is None


def test_every_form_of_import_is_seen() -> None:
    source = """
import a.b as c
from . import near
from ..errors import X
if TYPE_CHECKING:
    import never
else:
    import other
try:
    import tried
except ImportError:
    pass
class C:
    def f(self):
        from lazily import y
"""
    found = list(_walk(ast.parse(source), ["millstream", "core"], lazy=False))
    assert found == [
        ("a.b", False),
        ("millstream.core.near", False),
        ("millstream.errors.X", False),
        ("other", False),
        ("tried", False),
        ("lazily.y", True),
    ]


def test_cython_imports_are_seen() -> None:
    source = """
cimport cython
from libc.string cimport memchr
from millstream.core.kernels cimport (
    ms_span,
)
from millstream import events, limits
import orjson
    import late
"""
    found = [*cython_imports(source)]
    assert found == [
        ("millstream.core.kernels", False),
        ("millstream.events", False),
        ("millstream.limits", False),
        ("orjson", False),
        ("late", True),
    ]


@pytest.mark.parametrize("module", ["millstream.core", "millstream.events", "millstream.protocols"])
def test_decoding_runs_without(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules.keys() & {{'anyio', 'asyncio', 'httpx2', 'redis'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
