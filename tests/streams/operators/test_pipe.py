"""`pipe`: transformations, and the three ways to treat what they raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import pytest
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


async def double_later(item: int) -> int:
    await checkpoint()
    return item * 2


@pytest.mark.parametrize("fn", [lambda item: item * 2, double_later], ids=["sync", "async"])
async def test_r0259_r0263_one_out_for_each_in_in_order(fn: Any) -> None:
    assert await Stream(Probe([1, 2])).pipe(fn).collect() == [2, 4]
    assert await Stream(Probe(range(50))).pipe(fn).collect() == list(range(0, 100, 2))


async def test_r0260_an_error_of_the_source_is_passed_on_and_nothing_is_transformed_after_it() -> None:
    seen: list[int] = []
    error = ms.ConnectionFailed("gone")
    for mode in ("raise", "skip", "emit"):
        seen.clear()
        with pytest.raises(ms.ConnectionFailed) as caught:
            await Stream(Probe([1, 2], error=error)).pipe(seen.append, on_error=mode).collect()
        assert caught.value is error
        assert seen == [1, 2]


@pytest.mark.parametrize("later", [False, True])
async def test_r0261_an_error_of_the_transformation_raises_skips_or_is_emitted(later: bool) -> None:
    def invert(item: int) -> float:
        return 1 / item

    async def invert_later(item: int) -> float:
        await checkpoint()
        return 1 / item

    fn: Any = invert_later if later else invert
    items = [1, 0, 2]
    got: list[Any] = []
    source = Probe(items)
    with pytest.raises(ZeroDivisionError):
        await drain(Stream(source).pipe(fn), got)
    assert (got, source.closes, source.pulls) == ([1.0], 1, 2)
    assert await Stream(Probe(items)).pipe(fn, on_error="skip").collect() == [1.0, 0.5]
    first, failure, last = await Stream(Probe(items)).pipe(fn, on_error="emit").collect()
    assert (first, last) == (1.0, 0.5)
    assert isinstance(failure, ms.Error)
    assert not failure.fatal
    assert isinstance(failure.error, ms.errors.ProcessingError)
    assert isinstance(failure.error.__cause__, ZeroDivisionError)


async def test_an_emitted_error_does_not_quote_what_a_function_said() -> None:
    def fail(item: int) -> None:
        raise ValueError("sk-secret")

    (failure,) = await Stream(Probe([1])).pipe(fail, on_error="emit").collect()
    assert "secret" not in str(failure.error)


async def test_r0262_the_next_item_is_pulled_only_after_this_one_was_taken() -> None:
    source = Probe(range(9))
    async with Stream(source).pipe(double_later) as stream:
        for consumed in range(1, 6):
            await anext(stream)
            assert source.pulls - consumed <= 1


async def test_r0264_a_consumer_that_stops_stops_the_source() -> None:
    source = Probe(range(9))
    async with Stream(source).pipe(double_later) as stream:
        async for _ in stream:
            break
    assert (source.closes, source.pulls) == (1, 1)


async def test_r0265_pipes_nest_to_any_depth() -> None:
    stream = Stream(Probe(range(3)))
    for _ in range(100):
        stream = stream.pipe(lambda item: item + 1)
    assert await stream.collect() == [100, 101, 102]
    assert await Stream(Probe([1])).pipe(str, double_text, len, lambda n: n + 1, double_later).collect() == [6]


async def double_text(text: str) -> str:
    return text * 2


if TYPE_CHECKING:  # what mypy and pyright shall infer

    def types(numbers: Stream[int]) -> None:
        assert_type(numbers.pipe(str, double_text), Stream[str])
        assert_type(numbers.pipe(str, double_text, len), Stream[int])


async def test_misuse() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Stream(Probe()).pipe()
    with pytest.raises(ValueError, match="on_error"):
        Stream(Probe()).pipe(str, on_error="ignore")  # type: ignore[call-overload]


async def test_functions_without_a_wait_are_called_one_after_another() -> None:
    assert await Stream(Probe(range(3))).pipe(lambda i: i + 1, lambda i: i * 10, str).collect() == ["10", "20", "30"]
