"""What `import millstream as ms` promises: every public name is there, and looking is cheap."""

import ast
import importlib
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import millstream
import millstream.core


@pytest.mark.parametrize("module", [millstream, millstream.core], ids=lambda module: module.__name__)
def test_all_resolves(module: object) -> None:
    names = module.__all__
    assert len(names) == len(set(names)), "a name stands twice in __all__"
    assert [name for name in names if getattr(module, name, None) is None] == []


def test_dir_and_star_import_agree_with_all() -> None:
    assert set(millstream.__all__) <= set(dir(millstream))
    namespace: dict[str, object] = {}
    exec("from millstream import *", namespace)
    assert set(millstream.__all__) <= namespace.keys()


def test_the_top_is_small_and_a_name_has_one_home() -> None:
    """What most programs never write stays in its room: an editor shows what there is on one screen."""
    assert len(millstream.__all__) <= 80
    for name in millstream._AT_ONCE:
        assert name in {*millstream.core.__all__, *millstream.errors.__all__}
    for name, home in millstream._LAZY.items():
        room = importlib.import_module(home)
        assert name in getattr(room, "__all__", dir(room))
    assert not set(millstream.__all__) & {*millstream._ROOMS, "core", "errors"}, "a name hides a room"


def test_the_five_names_to_start_with_and_those_of_the_readme_are_there() -> None:
    five = re.search(r"Five names to start with: (.*)", millstream.__doc__)[1]
    assert re.findall(r"`(\w+)`", five) == ["stream", "iter_events", "TextDelta", "ToolCall", "Finish"]
    kinds = {cls.__name__ for cls in get_args(millstream.Event)}
    assert kinds <= set(millstream.__all__), "who matches on events writes `ms.` and the kind"


@pytest.mark.parametrize("room", [*millstream._ROOMS, "core", "errors"])
def test_what_a_room_names_is_there_without_an_import(room: str) -> None:
    code = f"import millstream as ms; [getattr(ms.{room}, name) for name in getattr(ms.{room}, '__all__', [])]"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = millstream.no_such_name


def test_a_misspelt_name_gets_a_suggestion_and_a_room_needs_no_import() -> None:
    code = "import sys, millstream as ms; sys.stdout.write(repr([getattr(ms, name) for name in ms._ROOMS])); ms.steam"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    for room in ["compat", "providers", "relay", "server", "testing", "tools"]:
        assert f"<module 'millstream.{room}'" in done.stdout
        assert room in dir(millstream)
    assert done.stderr.rstrip().endswith("has no attribute 'steam'. Did you mean: 'stream'?")


def test_a_name_that_is_in_a_room_is_an_error_that_says_where() -> None:
    """And no room is loaded to find that out."""
    code = """
import sys, millstream as ms
for name in ["any_of", "ResumeGap", "StreamLimit", "EventStreamResponse", "Deltas", "Hub", "__wrapped__"]:
    try:
        getattr(ms, name)
    except AttributeError as error:
        print(error)
print({"millstream.tools", "millstream.relay", "millstream.server"} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert [line.partition("has no attribute ")[2] for line in done.stdout.splitlines()[:-1]] == [
        "'any_of'; it is `millstream.tools.any_of`",
        "'ResumeGap'; it is `millstream.errors.ResumeGap`",
        "'StreamLimit'; it is `millstream.server.StreamLimit`",
        "'EventStreamResponse'; it is `millstream.server.EventStreamResponse`",
        "'Deltas'",
        "'Hub'; it is `millstream.relay.Hub`",
        "'__wrapped__'",
    ]
    assert done.stdout.endswith("set()\n")


def test_where_no_sources_are_installed_there_is_no_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(millstream, "__file__", str(tmp_path / "__init__.pyc"))
    with pytest.raises(AttributeError, match=r"has no attribute 'any_of'$"):
        millstream.any_of  # noqa: B018 - looking is the point


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh interpreter has after `statement`, by its own report on imports."""
    command = [sys.executable, "-X", "importtime", "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_import_alone_loads_parsers_and_errors_only() -> None:
    loaded = loaded_by("import millstream")
    rooms = {name.split(".")[1] for name in loaded if name.startswith("millstream.")}
    assert rooms == {"core", "errors", "limits"}
    assert not loaded & {"anyio", "asyncio", "httpx2", "msgspec", "redis", "rich"}


@pytest.mark.parametrize(
    ("name", "absent"),
    [("TextDelta", "millstream.protocols"), ("decoder", "anyio"), ("stream", "millstream.providers")],
)
def test_a_name_loads_its_floor_and_nothing_above(name: str, absent: str) -> None:
    assert absent not in loaded_by(f"import millstream; millstream.{name}")


def test_what_checkers_see_is_what_there_is() -> None:
    """The imports for checkers and the table for the interpreter name the same things, from the same homes."""
    source = Path(millstream.__file__).read_text()
    [block] = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    seen = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        for name in line.names:
            assert name.name == name.asname or name.name == "*"
            stars = importlib.import_module(line.module).__all__ if name.name == "*" else [name.name]
            seen.update(dict.fromkeys(stars, line.module))
    rooms = {name for name, home in seen.items() if home == "millstream"}
    assert rooms == set(millstream._ROOMS)
    assert {name: home for name, home in seen.items() if name not in rooms} == millstream._LAZY


def test_a_lazy_name_is_looked_up_once_and_is_the_thing_itself() -> None:
    assert millstream.TextDelta is importlib.import_module("millstream.events").TextDelta
    assert vars(millstream)["TextDelta"] is millstream.TextDelta


def test_an_event_and_an_error_can_be_pickled() -> None:
    event = millstream.TextDelta("a")
    assert pickle.loads(pickle.dumps(event)) == event
    assert type(pickle.loads(pickle.dumps(millstream.StreamClosed("x")))) is millstream.StreamClosed
