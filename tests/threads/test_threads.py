"""One parser in two threads is an error and never corruption; a fork has its own; other interpreters are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from memory.kinds import CALLS, KINDS, shown, undisturbed
from millstream.errors import ConcurrentUseError, InvalidJSON, InvalidUTF8, LimitExceeded, ParseError, ParserClosed
from threads.hurry import in_four_threads


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_second_thread_is_refused_while_a_call_is_running(
    name: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thread is held inside `feed`, where the exception is made."""
    kind = KINDS[name]
    parser = kind.make()
    calls: dict[str, Callable[[], Any]] = {"feed": lambda: parser.feed(b"x"), "value": lambda: parser.value}
    parser.feed(kind.part)
    found: list[BaseException] = []

    def other() -> None:
        try:
            calls.get(call, lambda: getattr(parser, call)())()
        except BaseException as error:
            found.append(error)

    def hold(error: type[Exception]) -> None:
        made = error.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            made(self, *args, **kwargs)
            if threading.current_thread() is not second and not second.ident:
                second.start()
                second.join()

        monkeypatch.setattr(error, "__init__", init)

    second = threading.Thread(target=other)
    for error in (InvalidUTF8, InvalidJSON, LimitExceeded):
        hold(error)
    with suppress(kind.error):
        parser.feed(kind.bad)
    assert [type(error) for error in found] == [ConcurrentUseError]
    assert isinstance(parser.error, kind.error)
    monkeypatch.undo()
    parser.reset()
    assert shown(parser, parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()) == undisturbed(kind)


@pytest.mark.parametrize("name", KINDS)
def test_threads_that_pull_at_one_parser_do_not_break_it(name: str) -> None:
    kind = KINDS[name]
    parser = kind.make()
    strange: list[BaseException] = []
    calls = [
        lambda: parser.feed(kind.part), lambda: parser.feed(kind.rest), lambda: parser.feed(kind.bad), parser.close,
        parser.reset, lambda: repr(getattr(parser, "value", None)), lambda: getattr(parser, "snapshot", list)(),
    ]  # fmt: skip

    def pull(first: int) -> None:
        for n in range(3000):
            try:
                calls[(first + n * 5) % len(calls)]()
            except (ParseError, ParserClosed, ConcurrentUseError):
                pass
            except BaseException as error:
                strange.append(error)
                return

    in_four_threads(pull)
    assert strange == []
    parser.reset()
    assert shown(parser, parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()) == undisturbed(kind)


@pytest.mark.parametrize("name", KINDS)
def test_parsers_of_their_own_give_each_thread_its_own(name: str) -> None:
    kind = KINDS[name]
    want, wrong = undisturbed(kind), []

    def work(_: int) -> None:
        for _turn in range(300):
            if undisturbed(kind) != want:
                wrong.append(True)

    in_four_threads(work)
    assert wrong == []


# In processes of their own: a fork of a test run with threads is a warning, and an interpreter may take all down.
FORK = """
import os
from memory.kinds import KINDS, shown, undisturbed
for kind in KINDS.values():
    parser = kind.make()
    out = parser.feed(kind.part)
    child = os.fork()
    out += parser.feed(kind.rest) + parser.close()
    ok = shown(parser, out) == undisturbed(kind)
    if child == 0:
        os._exit(0 if ok else 7)
    assert ok and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("ok")
"""

# Each interpreter a process can have: one that shares the GIL, and since 3.12 one with a GIL of its own (PEP 684).
INTERPRETERS = """
import sys
from millstream.core import JSONParser
parser = JSONParser()
parser.feed('["a')
code = '''
try:
    import millstream.core
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    raise AssertionError("was loaded twice")
'''
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    others = [interpreters.create("legacy"), interpreters.create("isolated")]
    assert interpreters.get_config(others[1]).gil == "own"
else:
    import _xxsubinterpreters as interpreters
    others = [interpreters.create(isolated=False), interpreters.create(isolated=True)]
for other in others:
    failed = interpreters.run_string(other, code)
    assert failed is None, failed
    interpreters.destroy(other)
parser.feed('b"]')
assert parser.value == ["ab"]
print("ok")
"""


def in_a_process(code: str) -> None:
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([tests, *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_a_fork_in_the_middle_gives_both_the_whole() -> None:
    in_a_process(FORK)


def test_another_interpreter_is_refused_and_the_first_goes_on() -> None:
    in_a_process(INTERPRETERS)
