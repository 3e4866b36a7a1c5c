"""`ObjectStream`: views, the end, errors, closing. On asyncio and on trio."""

from __future__ import annotations

import copy
import json
from typing import Any, Literal

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from objects.kinds import Model, ModelPos
from objects.replay import pieces, replay
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

DOCUMENT = '{"title":"A b","items":[{"n":1},{"n":2},{"n":3}],"ok":true}'
VALUE = json.loads(DOCUMENT)


class Item(msgspec.Struct):
    n: int


class Report(msgspec.Struct):
    title: str
    items: list[Item]
    ok: bool


REPORT = Report("A b", [Item(1), Item(2), Item(3)], True)


def events(text: str = DOCUMENT, n: int = 3, reason: ms.FinishReason = ms.FinishReason.STOP) -> list[ms.Event]:
    return [
        ms.Start("model-1"),
        ms.ReasoningDelta("{hm}"),
        *map(ms.TextDelta, pieces(text, n)),
        ms.TextDelta("other answer", choice=1),
        ms.Citations(()),
        ms.Usage(output_tokens=9),
        ms.Finish(reason),
    ]


# --- what comes out does not depend on how it came ---

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab\\"é😀', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def in_pieces(draw: st.DrawFn, text: str) -> list[str]:
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


@given(values, st.booleans(), st.data())
async def test_any_value_any_cuts(value: Any, ascii: bool, data: st.DataObject) -> None:
    chunks = data.draw(in_pieces(json.dumps(value, ensure_ascii=ascii)))
    for views in range(3):
        objects = ms.ObjectStream(Probe(chunks, suspend=False), Any)
        if views == 0:
            assert replay([delta async for delta in objects.deltas()]) == value
        elif views == 1:
            shown = [copy.deepcopy(partial) async for partial in objects.partials()]
            assert shown[-1] == value
        else:
            typed = [partial async for partial in objects.partials(typed=True)]
            assert typed[-1] == value
        assert await objects.final() == value


async def test_deltas_give_the_live_value_at_each_step() -> None:
    objects = ms.ObjectStream(Probe(events()), Report)
    seen: list[ms.ObjectDelta] = []
    async for delta in objects.deltas():
        seen.append(delta)
        assert delta.object is objects.current
        assert delta.op != "end" or delta.value is None
    assert replay(seen) == VALUE
    assert {delta.path[0] for delta in seen if delta.path} == set(VALUE)


async def test_partials_are_live_and_come_before_the_rest_arrives() -> None:
    probe = Probe(['{"a":1,"b":[2', ",3", "]}"])
    async with ms.ObjectStream(probe, dict) as objects:
        partials = objects.partials()
        first = await anext(partials)
        assert first == {"a": 1, "b": []}
        kept = objects.snapshot()
        assert probe.pulls == 1
        assert await anext(partials) is first
        assert first == {"a": 1, "b": [2]}
        assert kept == {"a": 1, "b": []}


async def test_a_piece_that_changes_nothing_gives_no_partial() -> None:
    objects = ms.ObjectStream(Probe(["", " ", '{"a', '":', " ", '"\\', "u00", 'e9"', "}", " "]), dict)
    assert [copy.deepcopy(partial) async for partial in objects.partials()] == [{}, {"a": ""}, {"a": "é"}, {"a": "é"}]


# --- nothing is lost ---


async def test_events_passes_all_on_with_object_deltas_after_their_cause() -> None:
    sent = events()
    objects = ms.ObjectStream(Probe(sent), Report)
    seen = [event async for event in objects.events()]
    assert [event for event in seen if not isinstance(event, ms.ObjectDelta)] == sent
    assert replay(event for event in seen if isinstance(event, ms.ObjectDelta)) == VALUE
    first = next(i for i, event in enumerate(seen) if isinstance(event, ms.ObjectDelta))
    assert isinstance(seen[first - 1], ms.TextDelta)
    assert await objects.final() == REPORT


async def test_events_go_over_the_native_wire_and_back() -> None:
    objects = ms.ObjectStream(Probe(events()), Report)
    wire = ms.encoder("millstream.events.v1")
    body = b"".join([wire.encode(event) async for event in objects.events()]) + wire.close()
    back = list(ms.iter_events([body], protocol="millstream.events.v1"))
    assert replay(event for event in back if isinstance(event, ms.ObjectDelta)) == VALUE
    assert back[0] == ms.Start("model-1")
    assert back[-1] == ms.Finish(ms.FinishReason.STOP)


async def test_what_is_not_text_is_kept_whatever_the_view() -> None:
    for view in ("partials", "deltas", "fields", "events", None):
        objects = ms.ObjectStream(Probe(events()), Report)
        if view:
            async for _ in getattr(objects, view)():
                pass
        assert await objects.final() == REPORT
        assert objects.usage == ms.Usage(output_tokens=9)
        assert objects.finish == ms.Finish(ms.FinishReason.STOP)
        assert objects.others == [ms.Start("model-1"), ms.Citations(())]


async def test_the_other_answer_can_be_read() -> None:
    source = [ms.TextDelta("[1]", choice=1), ms.TextDelta("no"), ms.TextDelta(" ", choice=1)]
    assert await ms.ObjectStream(Probe(source), list, choice=1).final() == [1]


async def test_over_a_stream_of_bytes() -> None:
    body = [b'data: {"choices":[{"delta":{"content":"{\\"n\\":', b' 4}"}}]}\n\ndata: [DONE]\n\n']
    async with ms.stream(Probe(body), protocol="openai-chat") as stream:
        assert await ms.ObjectStream(stream, Item).final() == Item(4)


async def test_a_view_is_a_source_of_a_stream_which_owns_it() -> None:
    probe = Probe(events())
    async with ms.Stream(ms.ObjectStream(probe, Report).deltas()) as deltas:
        assert (await anext(deltas)).op == "set"
    assert probe.closes == 1


# --- one view at a time, then final ---


async def test_final_after_leaving_a_loop_consumes_the_rest() -> None:
    probe = Probe(events())
    async with ms.ObjectStream(probe, Report) as objects:
        async for item in objects.elements("items"):
            assert item == Item(1)
            break
        assert objects.finish is None
        assert await objects.final() == REPORT
        assert objects.finish is not None
    assert probe.closes == 1


async def test_a_second_view_is_told_all_and_the_first_is_busy() -> None:
    objects = ms.ObjectStream(Probe(events()), Report)
    elements = objects.elements("items")
    assert await anext(elements) == Item(1)
    deltas = objects.deltas()
    with pytest.raises(ms.errors.StreamBusy, match="another view"):
        await anext(elements)
    assert replay([delta async for delta in deltas]) == VALUE
    assert [name async for name, _ in objects.fields()] == ["title", "items", "ok"]
    assert [partial async for partial in objects.partials()] == [VALUE]
    assert [partial async for partial in objects.partials(typed=True)] == [REPORT]
    assert await objects.final() == REPORT


async def test_two_consumers_at_once_are_refused() -> None:
    objects = ms.ObjectStream(Probe(hang=True), dict)
    partials = objects.partials()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_swallow, partials)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ms.errors.StreamBusy):
            await anext(partials)
        tasks.cancel_scope.cancel()


async def _swallow(view: Any) -> None:
    async for _ in view:
        pass


# --- closing ---


async def test_leaving_the_block_closes_the_source() -> None:
    for leave in (True, False):
        probe = Probe(events())
        async with ms.ObjectStream(probe, Report) as objects:
            async for _ in objects.partials():
                if leave:
                    break
        assert probe.closes == 1
        await objects.aclose()


async def test_final_closes_the_source_by_itself() -> None:
    probe = Probe(events())
    await ms.ObjectStream(probe, Report).final()
    assert probe.closes == 1


async def test_final_after_closing_early_says_so() -> None:
    async with ms.ObjectStream(Probe(events()), Report) as objects:
        await anext(objects.partials())
    with pytest.raises(ms.StreamClosed) as caught:
        await objects.final()
    assert caught.value.partial == objects.current  # type: ignore[attr-defined]


async def test_closing_from_another_task() -> None:
    probe = Probe(['{"a":1,'], hang=True)
    objects = ms.ObjectStream(probe, dict)
    caught: list[Exception] = []

    async def consume() -> None:
        try:
            await objects.final()
        except ms.StreamClosed as error:
            caught.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        await objects.aclose()
    assert caught[0].partial == {"a": 1}  # type: ignore[attr-defined]
    assert (probe.closes, probe.closed_while_running) == (1, False)


async def test_cancelling_closes_the_source_and_is_no_end() -> None:
    probe = Probe(['{"a":1}'], hang=True)
    objects = ms.ObjectStream(probe, dict)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(objects.final)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert probe.closes == 1
    with pytest.raises(ms.StreamClosed, match="cancelled"):
        await objects.final()
    assert objects.current == {"a": 1}


# --- errors ---


async def through(objects: Any, view: str | None) -> None:
    if view is not None:
        async for _ in getattr(objects, view)():
            pass
    await objects.final()


VIEWS = pytest.mark.parametrize("view", [None, "partials", "deltas", "fields", "events"])


@VIEWS
async def test_an_upstream_error_keeps_the_partial(view: str | None) -> None:
    error = ms.ConnectionFailed("gone")
    objects = ms.ObjectStream(Probe(['{"a":[1,"x'], error=error), dict)
    with pytest.raises(ms.ConnectionFailed) as caught:
        await through(objects, view)
    assert caught.value is error
    assert error.partial == objects.current == {"a": [1, "x"]}
    with pytest.raises(ms.ConnectionFailed):
        await objects.final()


@VIEWS
async def test_an_error_event_of_a_source_that_does_not_raise_is_raised(view: str | None) -> None:
    error = ms.Overloaded("busy")
    source = [ms.TextDelta('{"a":1}'), ms.Error(error), ms.Finish(ms.FinishReason.ERROR)]
    with pytest.raises(ms.Overloaded) as caught:
        await through(ms.ObjectStream(Probe(source), dict), view)
    assert caught.value.partial == {"a": 1}
    warning = [ms.Error(error, fatal=False), ms.TextDelta('{"a":1}')]
    assert await ms.ObjectStream(Probe(warning), dict).final() == {"a": 1}


@VIEWS
async def test_bad_json_stops_the_source_and_keeps_the_partial(view: str | None) -> None:
    probe = Probe([ms.TextDelta('{"a":1,'), ms.TextDelta(" b}"), ms.TextDelta("...")], hang=True)
    with pytest.raises(ms.errors.InvalidJSON) as caught:
        await through(ms.ObjectStream(probe, dict), view)
    assert caught.value.offset == 8
    assert caught.value.partial == {"a": 1}
    assert (probe.pulls, probe.closes) == (2, 1)


@VIEWS
async def test_a_text_that_ends_early_is_incomplete(view: str | None) -> None:
    with pytest.raises(ms.errors.IncompleteJSON, match=r"ended inside the object .*length") as caught:
        await through(ms.ObjectStream(Probe(events(DOCUMENT[:20], reason=ms.FinishReason.LENGTH)), Report), view)
    assert caught.value.partial == {"title": "A b"}
    with pytest.raises(ms.errors.IncompleteJSON):
        await through(ms.ObjectStream(Probe(), dict), view)


async def test_no_finish_is_given_for_an_object_that_is_not_whole() -> None:
    seen: list[Any] = []
    with pytest.raises(ms.errors.IncompleteJSON):
        await drain(ms.ObjectStream(Probe(events(DOCUMENT[:20])), Report).events(), seen)
    assert isinstance(seen[-1], ms.Usage)
    failed = [ms.TextDelta("{"), ms.Error(ms.Overloaded("busy")), ms.Finish(ms.FinishReason.ERROR)]
    seen.clear()
    with pytest.raises(ms.Overloaded):
        await drain(ms.ObjectStream(Probe(failed), Report).events(), seen)
    assert [event for event in seen if not isinstance(event, ms.ObjectDelta)] == failed


async def in_one_chunk(sent: list[ms.Event], n: int) -> ms.Stream[ms.Event]:
    wire = ms.encoder("millstream.events.v1")
    body = b"".join(map(wire.encode, sent))
    chunks = [body[i : i + n] for i in range(0, len(body), n)]
    return ms.stream(Probe(chunks), protocol="millstream.events.v1")


@pytest.mark.parametrize("n", [1, 50, 100_000])
async def test_what_arrives_together_is_read_as_if_it_came_piece_by_piece(n: int) -> None:
    objects = ms.ObjectStream(await in_one_chunk(events(), n), Report)
    assert [item async for item in objects.elements("items")] == REPORT.items
    assert (objects.usage, objects.others[0]) == (ms.Usage(output_tokens=9), ms.Start("model-1"))
    assert await objects.final() == REPORT
    one_by_one = [1 async for _ in ms.ObjectStream(Probe(events()), Report).partials()]
    objects = ms.ObjectStream(await in_one_chunk(events(), n), Report)
    assert [1 async for _ in objects.partials()] == one_by_one
    asked: list[str] = []
    bad = ms.ObjectStream(
        await in_one_chunk(events('{"title":x' + DOCUMENT), n), Report, repair=lambda text, error: asked.append(text)
    )
    with pytest.raises(ms.errors.InvalidJSON) as caught:
        await bad.final()
    assert asked == ['{"title":x' + DOCUMENT]
    assert (caught.value.offset, caught.value.partial) == (9, {})
    assert not hasattr(caught.value, "__notes__")


async def test_deltas_before_the_error_come_first() -> None:
    objects = ms.ObjectStream(Probe(['{"a":1,"b":2,!']), dict)
    seen: list[ms.ObjectDelta] = []
    with pytest.raises(ms.errors.InvalidJSON):
        await drain(objects.deltas(), seen)
    assert replay(seen) == {"a": 1, "b": 2}


async def test_a_fence_without_lenient_is_an_error_that_names_it() -> None:
    for text in ("```json\n{}\n```", "Sure: {}", "{}\n```"):
        with pytest.raises(ms.errors.InvalidJSON) as caught:
            await ms.ObjectStream(Probe([text]), dict).final()
        assert "lenient=True" in caught.value.__notes__[0]
        assert len(caught.value.__notes__) == 1
    assert await ms.ObjectStream(Probe(pieces("Sure:\n```json\n{}\n```")), dict, lenient=True).final() == {}
    with pytest.raises(TypeError, match="lenient"):
        ms.ObjectStream(Probe(), int, lenient=True)


async def test_a_refused_object_says_where_and_keeps_text_and_value() -> None:
    text = '{"title":"secret","items":[{"n":1},{"n":"2"}],"ok":true}'
    objects = ms.ObjectStream(Probe(events(text)), Report)
    with pytest.raises(ms.ObjectInvalid) as caught:
        await objects.final()
    error = caught.value
    assert error.path == ("items", 1, "n")
    assert error.raw == text.encode()
    assert error.partial == json.loads(text)
    assert isinstance(error.__cause__, msgspec.ValidationError)
    assert str(error) == "not a valid Report: Expected `int`, got `str` at $.items[1].n"
    with pytest.raises(ms.ObjectInvalid) as again:
        await objects.final()
    assert again.value is error


@pytest.mark.parametrize(
    ("kind", "text", "path", "message"),
    [
        (dict[str, str], '{"k": 1}', ("...",), "not a valid dict: Expected `str`, got `int` at $[...]"),
        (Literal["a"], f'"{"k" * 99}"', (), f"not a valid Literal: Invalid enum value '{'k' * 30}…' at $"),
        (Model, DOCUMENT, ("name",), "not a valid Model: Field required (and 2 more) at $.name"),
        (list[ModelPos], '[{"x":1,"y":"secret"}]', (0, "y"), None),
    ],
    ids=str,
)
async def test_the_message_says_where_and_quotes_little(kind: Any, text: str, path: Any, message: str | None) -> None:
    with pytest.raises(ms.ObjectInvalid) as caught:
        await ms.ObjectStream(Probe([text]), kind).final()
    assert caught.value.path == path
    assert str(caught.value) == message or message is None
    assert "secret" not in str(caught.value)


async def test_a_refused_element_says_which_and_reading_may_go_on() -> None:
    text = '{"title":"","items":[{"n":1},{"n":"2"},{"n":3}],"ok":true}'
    async with ms.ObjectStream(Probe(pieces(text)), Report) as objects:
        elements = objects.elements("items")
        assert await anext(elements) == Item(1)
        with pytest.raises(ms.ObjectInvalid) as caught:
            await anext(elements)
        assert (caught.value.path, caught.value.raw) == (("items", 1, "n"), b'{"n":"2"}')
        assert caught.value.partial["items"] == [{"n": 1}, {"n": "2"}]
        assert await anext(elements) == Item(3)
    async with ms.ObjectStream(Probe(['{"title":1}']), Report) as objects:
        with pytest.raises(ms.ObjectInvalid, match=r"at \$\.title"):
            await anext(objects.fields())


@pytest.mark.parametrize("n", [1, 7, 999])
@pytest.mark.parametrize("late", [False, True])
async def test_what_was_complete_before_an_error_is_given_first_whatever_the_cuts(n: int, late: bool) -> None:
    text = '{"title":"","items":[{"n":1},{"n":"2"},{"n":3}],"ok":true!'
    objects = ms.ObjectStream(Probe(pieces(text, n)), Report)
    if late:
        await anext(objects.partials())
    seen: list[Any] = []
    elements = objects.elements("items")
    with pytest.raises(ms.ObjectInvalid):
        await drain(elements, seen)
    assert seen == [Item(1)]
    with pytest.raises(ms.errors.InvalidJSON):
        await drain(elements, seen)
    assert seen == [Item(1), Item(3)]


@pytest.mark.parametrize("view", ["events", "deltas", "fields", "partials"])
async def test_in_a_stream_what_arrived_together_travels_together(view: str) -> None:
    alone = [item async for item in getattr(ms.ObjectStream(await in_one_chunk(events(), 1), Report), view)()]
    objects = ms.ObjectStream(await in_one_chunk(events(), 100_000), Report)
    batches = [batch async for batch in ms.Stream(getattr(objects, view)()).batches()]
    assert [item for batch in batches for item in batch] == alone
    assert (len(batches) == len(alone)) is (view == "partials")
    assert len(batches) <= 2 or view == "partials"


async def test_in_a_stream_an_error_comes_after_what_came_before_it() -> None:
    sent = [ms.TextDelta('{"a":1'), ms.TextDelta(',"b":2'), ms.TextDelta("!")]
    seen: list[Any] = []
    with pytest.raises(ms.errors.InvalidJSON) as caught:
        await drain(ms.Stream(ms.ObjectStream(await in_one_chunk(sent, 999), dict).events()), seen)
    assert replay(item for item in seen if isinstance(item, ms.ObjectDelta)) == {"a": 1, "b": 2}
    assert [item for item in seen if isinstance(item, ms.TextDelta)] == sent
    assert caught.value.partial == {"a": 1, "b": 2}


async def test_in_a_stream_a_refused_element_comes_after_those_before_it_and_before_those_behind_it() -> None:
    text = '{"title":"","items":[{"n":1},{"n":"2"},{"n":3}],"ok":true}'
    objects = ms.ObjectStream(await in_one_chunk([ms.TextDelta(text)], 999), Report)
    view = objects.elements("items")
    assert await view.pull() == [Item(1)]
    with pytest.raises(ms.ObjectInvalid):
        await view.pull()
    assert await view.pull() == [Item(3)]
    assert await view.pull() == []


async def test_leaving_the_block_of_a_view_closes_the_source() -> None:
    probe = Probe(pieces(DOCUMENT), hang=True)
    async with ms.ObjectStream(probe, Report).partials() as partials:
        assert await anext(partials) == {}
    assert probe.closes == 1


async def test_complete_is_true_once_nothing_can_change_the_object() -> None:
    async with ms.ObjectStream(Probe(events()), Report) as objects:
        seen = [(objects.complete, len(objects.raw)) async for _ in objects.events()]
    assert [complete for complete, _ in seen] == [n == len(DOCUMENT) for _, n in seen]
    assert objects.complete
    broken = ms.ObjectStream(Probe(["{]"]), dict)
    with pytest.raises(ms.errors.InvalidJSON):
        await broken.final()
    assert not broken.complete


async def test_what_came_together_with_bad_text_is_kept() -> None:
    together = [
        ms.TextDelta('{"a":!'),
        ms.TextDelta("more"),
        ms.Usage(output_tokens=9),
        ms.Finish(ms.FinishReason.STOP),
    ]
    objects = ms.ObjectStream(await in_one_chunk(together, 999), dict)
    with pytest.raises(ms.errors.InvalidJSON):
        await drain(objects.partials(), [])
    assert objects.usage == ms.Usage(output_tokens=9)
    assert objects.finish is not None


async def test_the_length_is_limited() -> None:
    for repair in (None, lambda text, error: "{}"):
        probe = Probe(["[", *["0,"] * 100], hang=True)
        objects = ms.ObjectStream(probe, list, limits=ms.Limits(max_object_bytes=20), repair=repair)
        with pytest.raises(ms.LimitExceeded, match="max_object_bytes=20"):
            await objects.final()
        assert probe.closes == 1


# --- repair ---


@pytest.mark.parametrize(
    ("text", "error"),
    [('{"n": "4"}', ms.ObjectInvalid), ('{"n": 4,}', ms.errors.InvalidJSON), ('{"n": 4', ms.errors.IncompleteJSON)],
)
@pytest.mark.parametrize("wait", [False, True])
@VIEWS
async def test_repair(text: str, error: type, wait: bool, view: str | None) -> None:
    asked = []

    def repair(bad: str, why: Exception) -> str:
        asked.append((bad, type(why)))
        return '{"n": 4}'

    async def repair_later(bad: str, why: Exception) -> str:
        await anyio.lowlevel.checkpoint()
        return repair(bad, why)

    objects = ms.ObjectStream(Probe(pieces(text)), Item, repair=repair_later if wait else repair)
    if view != "fields":
        await through(objects, view)
    assert await objects.final() == Item(4)
    assert asked == [(text, error)]
    assert isinstance(objects.last_error, error)


async def test_repair_is_asked_so_often_and_may_give_up() -> None:
    asked = []

    def worse(text: str, error: Exception) -> str:
        asked.append(text)
        return text + "!"

    with pytest.raises(ms.errors.InvalidJSON):
        await ms.ObjectStream(Probe(["x"]), Item, repair=worse, repairs=3).final()
    assert asked == ["x", "x!", "x!!"]
    with pytest.raises(ms.ObjectInvalid):
        await ms.ObjectStream(Probe(["{}"]), Item, repair=lambda text, error: None).final()


async def test_repair_does_not_hide_what_the_source_says() -> None:
    with pytest.raises(ms.ConnectionFailed):
        await ms.ObjectStream(
            Probe(["{"], error=ms.ConnectionFailed("x")), Item, repair=lambda text, error: '{"n":1}'
        ).final()


async def test_an_exception_of_the_repair_function_is_not_changed() -> None:
    def broken(text: str, error: Exception) -> str:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await ms.ObjectStream(Probe(["x"]), Item, repair=broken).final()
