"""The tree of exceptions: what is printed is what is there, and each tells what a caller acts on."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import millstream as ms
from millstream import errors
from millstream.protocols import provider_error

CLASSES = {name: getattr(errors, name) for name in errors.__all__}
STREAM_ERRORS = [cls for cls in CLASSES.values() if issubclass(cls, ms.StreamError)]
MUST = {ms.LimitExceeded: {"option": "max_x", "limit": 1}}


def printed_tree() -> dict[str, tuple[str, str]]:
    """Name -> (parent, the rest of the line) of the tree in the docstring."""
    tree: dict[str, tuple[str, str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ([│├└─ ]*)(\w+)(.*)", line)
        if match and (match[2] in CLASSES):
            path[len(match[1]) // 4 :] = [match[2]]
            tree[match[2]] = (path[-2] if len(path) > 1 else "", match[3])
    return tree


def test_the_printed_tree_is_the_real_one() -> None:
    real = {
        name: next((base.__name__ for base in cls.__bases__ if base.__name__ in CLASSES), "")
        for name, cls in CLASSES.items()
    }
    assert {name: parent for name, (parent, _) in printed_tree().items()} == real


def test_everything_in_the_module_is_exported() -> None:
    own = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert own == set(errors.__all__)


@pytest.mark.parametrize("cls", STREAM_ERRORS)
def test_every_stream_error_has_the_common_facts_and_those_the_tree_prints(cls: type[ms.StreamError]) -> None:
    error = cls("why", **MUST.get(cls, {}), retryable=True, retry_after=1.5, provider="p")
    assert (error.message, str(error), error.retryable, error.retry_after, error.provider) == (
        "why",
        "why",
        True,
        1.5,
        "p",
    )
    assert error.partial is None
    for name in re.findall(r"\.(\w+)", printed_tree()[cls.__name__][1]):
        assert hasattr(error, name), name


@pytest.mark.parametrize("cls", STREAM_ERRORS)
def test_every_kind_names_one_class(cls: type[ms.StreamError]) -> None:
    assert [other for other in STREAM_ERRORS if other.kind == cls.kind] == [cls]
    assert re.fullmatch(r"[a-z0-9_]+", cls.kind), "a dot separates the detail on the wire"


def test_what_is_retryable_by_its_class() -> None:
    retryable = {cls.__name__ for cls in STREAM_ERRORS if cls.retryable}
    waits = {"RateLimited", "Overloaded", "TooManyStreams"}
    assert retryable == {"IncompleteStream", "ConnectionFailed", "StreamTimeout"} | waits


def test_mistakes_of_the_program_are_no_stream_errors() -> None:
    for cls in CLASSES.values():
        assert not (issubclass(cls, ms.UsageError) and issubclass(cls, ms.StreamError))


def test_facts_of_the_new_ones() -> None:
    assert ms.errors.BufferOverflow("x", dropped=3).dropped == 3
    assert ms.errors.ResumeGap("x", first_available="7-0").first_available == "7-0"
    assert ms.ToolError("x", tool="weather").tool == "weather"
    assert isinstance(ms.errors.EmptyStream("x"), LookupError)
    assert isinstance(ms.errors.BufferOverflow("x"), ms.errors.BackpressureError)
    assert ms.StreamTimeout("x").kind == "timeout"
    assert ms.StreamTimeout("x", kind="idle").kind == "idle"
    assert ms.StreamTimeout.kind == "timeout"
    assert (ms.RetriesExhausted("x").attempts, ms.RetriesExhausted("x").last) == (0, None)


@pytest.mark.parametrize("cls", STREAM_ERRORS)
def test_facts_travel(cls: type[ms.StreamError]) -> None:
    facts = {"attempts": 3, "dropped": 2, "tool": "t", "first_available": 5}
    probe = cls("why", **MUST.get(cls, {}))
    own = {name: value for name, value in facts.items() if hasattr(probe, name)}
    back = ms.events.decode_event(ms.events.encode_event(ms.Error(cls("why", **MUST.get(cls, {}), **own)))).error
    assert type(back) is cls
    assert {name: getattr(back, name) for name in own} == own


def test_r0035_the_error_of_an_event_is_an_exception() -> None:
    """`Event.error` (exception)."""
    event = ms.Error(ms.RateLimited("x", retry_after=2.0))
    assert isinstance(event.error, ms.StreamError)
    assert (event.kind, event.retryable, event.error.retry_after) == ("rate_limited", True, 2.0)


def test_r0250_the_error_is_kept_as_it_is() -> None:
    """`Event[T].err`."""
    error = ms.StreamError("x")
    assert ms.Error(error=error).error is error


@pytest.mark.parametrize(
    ("code", "status"), [("content_filter", 400), ("content_policy_violation", 400), ("safety_block", None)]
)
def test_a_refusal_of_the_providers_filter(code: str, status: int | None) -> None:
    error = provider_error({"error": {"code": code, "message": "no"}}, provider="p", status=status)
    assert type(error) is ms.SafetyBlocked
    assert (error.retryable, error.code, error.status) == (False, code, status)


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([{"@type": "x"}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39.5s"}], 39.5),
        ([{"retryDelay": "soon"}], None),
        ([{"retryDelay": 3}], None),
        ([1], None),
        ({}, None),
        (None, None),
    ],
)
def test_the_wait_may_stand_in_the_body(details: object, seconds: float | None) -> None:
    payload = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x", "details": details}}
    error = provider_error(payload, provider="gemini")
    assert type(error) is ms.RateLimited
    assert error.retry_after == seconds
    assert provider_error(payload, provider="gemini", retry_after=1.0).retry_after == 1.0


def test_no_module_raises_a_bare_exception() -> None:
    source = Path(errors.__file__).parent
    bare = [
        path.name for path in source.rglob("*.py") if re.search(r"raise (Exception|BaseException)\b", path.read_text())
    ]
    assert bare == []


def test_mistakes_in_a_request_name_the_field() -> None:
    wrong = errors.InvalidMessage("why", field="messages[0].role")
    assert (str(wrong), wrong.field, errors.InvalidMessage("why").field) == ("why", "messages[0].role", "")
    unsaid = errors.Inexpressible("why", field="seed", protocol="cohere")
    assert (str(unsaid), unsaid.field, unsaid.protocol) == ("why", "seed", "cohere")


@pytest.mark.parametrize(
    ("given", "told"),
    [("a \ud800 b", "a ? b"), ("\udfff", "?"), ("\N{GRINNING FACE} é", "\N{GRINNING FACE} é")],
    ids=ascii,
)
def test_the_words_of_an_error_can_always_be_written(given: str, told: str) -> None:
    """To logs, terminals and clients: else the failure to tell it takes the place of what went wrong."""
    error = ms.RateLimited(given)
    assert (error.message, str(error)) == (told, told)
    assert told.encode()
