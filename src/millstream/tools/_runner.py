"""Runs tool calls: looked up, approved, validated, limited, timed. Whatever a tool does, a `ToolResult` comes of it.

Only a call that the provider confirmed and whose arguments are whole JSON is run. Sync functions run in worker threads;
Python cannot stop a thread, so one that takes too long, or that nobody waits for any more, is abandoned: it runs on,
its result is dropped, and `ToolContext.cancelled` tells it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeAlias

import msgspec
from anyio import CancelScope, CapacityLimiter, Lock, Semaphore, current_effective_deadline, get_cancelled_exc_class
from anyio.to_thread import run_sync
from msgspec.structs import replace as replace_struct
from orjson import JSONDecodeError, loads

from millstream.errors import ToolError
from millstream.events import Handoff, ToolCall, ToolResult, Validity
from millstream.messages import FilePart, ImagePart, TextPart, ToolSpec
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._tasks import only
from millstream.tools._arguments import ArgumentsInvalid
from millstream.tools._context import Deny, ToolContext
from millstream.tools._tool import AnyTool, Tool, as_tools

__all__ = ["Approve", "OnToolError", "ToolRunner"]

Approval: TypeAlias = bool | Deny | Mapping[str, Any]
Approve: TypeAlias = Callable[[ToolContext], Approval | Awaitable[Approval]]
"""Decides about a call: True runs it, False or `Deny(reason)` does not, a mapping runs it with these arguments."""

OnToolError: TypeAlias = Callable[[ToolContext, Exception], str | Awaitable[str]]
"""Says what the model is told of a tool's exception. What it raises ends the run."""

ERROR_CHARS = 2000  # of an exception's text; some hold whole pages, and each is paid for in every later step
PARTS = (TextPart, ImagePart, FilePart)

log = logging.getLogger("millstream.tools")


class _Refused(Exception):
    """The call gets an error result, and this is its text."""


class ToolRunner:
    """Runs the calls of a model.

    Args:
        tools: tools, functions that become tools, and `ToolSpec`s of tools that somebody else runs.
        max_parallel: how many run at the same time; the others wait in the order of their calls.
        timeout: seconds that a call may take, if the tool does not say; None: no limit. Waiting for an approval or for
            its turn is not counted.
        approve: is asked before each call; an exception of it is a no. A sync one runs in a worker thread, one at a
            time, so that it may ask somebody at a terminal.
        on_error: says what the model is told of a tool's exception; by default its class and its text.
        clock: what the timeouts go by.
    Raises: ValueError: a limit that lets nothing run. As `as_tools`.
    """

    def __init__(
        self,
        tools: Iterable[AnyTool],
        *,
        max_parallel: int = 10,
        timeout: float | None = 30.0,
        approve: Approve | None = None,
        on_error: OnToolError | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        if max_parallel < 1:
            raise ValueError(f"max_parallel must be at least 1, not {max_parallel!r}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds or None, not {timeout!r}")
        self.tools = as_tools(tools)
        self._timeout = timeout
        self._approve = approve
        self._on_error = on_error
        self._clock = clock
        self._slots = Semaphore(max_parallel)
        self._one_question = Lock()
        self._threads: CapacityLimiter | None = None
        self._waiting: set[CancelScope] = set()
        self._stopped = False

    def runs(self, call: ToolCall) -> bool:
        """Whether the call gets its result here: all but whole ones of a `ToolSpec`, which somebody else runs."""
        return call.validity is not Validity.VALID or not isinstance(self.tools.get(call.name), ToolSpec)

    async def run(
        self, call: ToolCall, *, step: int = 1, messages: Iterable[Any] = (), deps: Any = None
    ) -> ToolResult | Handoff:
        """Run one call.

        Args:
            call: with arguments that need not be right: they are checked here.
            step, messages, deps: what the tool finds in its `ToolContext`.
        Returns: its result, an error result if it failed in whatever way; or the `Handoff` that the tool returned.
        Raises: what `on_error` raises. ToolError: the call is of a tool that somebody else runs.
        """
        if not self.runs(call):
            raise ToolError(f"tool {call.name!r} is only described here, somebody else runs it", tool=call.name)
        context = ToolContext(call=call, step=step, messages=tuple(messages), deps=deps)
        value, error = None, None
        try:
            value = await self._call(context)
        except _Refused as refused:
            error = _clean(str(refused))
        except get_cancelled_exc_class():
            if current_effective_deadline() == -math.inf:
                raise
            error = "the call was cancelled from inside"  # nobody here did: a task that the tool itself waited for
        if isinstance(value, Handoff):
            return value
        result = ToolResult(call.id, call.name, value, error)
        if not call.id:
            result.meta["index"] = call.index
        if context.call is not call:
            result.meta["arguments"] = context.call.arguments
        return result

    def stop_waiting(self) -> None:
        """Give calls that have not begun an error result; those that run are left alone."""
        self._stopped = True
        for scope in self._waiting:
            scope.cancel()

    async def _call(self, context: ToolContext) -> Any:
        found = self._find(context.call)
        begun = False
        with CancelScope() as waiting:
            self._waiting.add(waiting)
            if self._stopped:
                waiting.cancel()
            try:
                await self._ask(found, context)
                work = _bound(found, context)
                await self._slots.acquire()
                begun = True
            finally:
                self._waiting.discard(waiting)
        if not begun:
            raise _Refused("the run ended before this call began, so the tool was not run")
        try:
            return _as_json(await self._timed(found, work, context), found.name)
        finally:
            self._slots.release()

    def _find(self, call: ToolCall) -> Tool[..., Any]:
        found = self.tools.get(call.name)
        if found is None:
            there_are = ", ".join(self.tools) or "none"
            raise _Refused(f"there is no tool {call.name!r}; there are: {there_are}")
        if call.validity is Validity.INCOMPLETE:
            raise _Refused("the arguments were cut off, so the tool was not run; call it again with all of them")
        if call.validity is not Validity.VALID:
            raise _Refused(f"the arguments are no JSON ({_why(call.input)}), so the tool was not run")
        assert isinstance(found, Tool)  # noqa: S101  (see `runs`)
        return found

    async def _ask(self, found: Tool[..., Any], context: ToolContext) -> None:
        if self._approve is None:
            if found.needs_approval:
                raise _Refused("this tool needs an approval, and nobody is there to give it; it was not run")
            return
        try:
            if _is_async(self._approve):
                answer: Any = self._approve(context)
            else:
                async with self._one_question:
                    answer, failure = await self._in_thread(partial(self._approve, context))
                if failure is not None:
                    raise failure
            if isawaitable(answer):
                answer = await answer
        except Exception as error:
            log.warning("the approval of tool %r failed, so it was not run", found.name, exc_info=error)
            raise _Refused("the approval failed, so the tool was not run") from error
        if isinstance(answer, Mapping):
            data = msgspec.json.encode(answer)
            context.call = replace_struct(context.call, input=data, arguments=msgspec.json.decode(data))
        elif answer is not True:
            reason = f": {answer.reason}" if isinstance(answer, Deny) and answer.reason else ""
            raise _Refused("the call was denied, so the tool was not run" + reason)

    async def _timed(self, found: Tool[..., Any], work: Callable[[], Any], context: ToolContext) -> Any:
        seconds = found.timeout or self._timeout or math.inf
        try:
            with self._clock.move_on_at(self._clock.now() + seconds) as scope:
                value, failure = await self._execute(found, work)
        finally:
            context._cancelled = True
        if scope.cancelled_caught:
            raise _Refused(f"the tool gave no result within {seconds:g} s and was stopped")
        if failure is not None:
            raise _Refused(await self._explain(context, failure)) from failure
        return value

    async def _execute(self, found: Tool[..., Any], work: Callable[[], Any]) -> tuple[Any, Exception | None]:
        """What it returned, or what it raised: not every exception can be raised again in a coroutine."""
        try:
            if found.is_async:
                return await work(), None
            value, failure = await self._in_thread(work)
            return await value if isawaitable(value) else value, failure
        except Exception as error:
            return None, error

    async def _in_thread(self, work: Callable[[], Any]) -> tuple[Any, Exception | None]:
        # An abandoned thread keeps its token: with a bound, a few hanging tools would stop all others for ever.
        self._threads = self._threads or CapacityLimiter(math.inf)
        return await run_sync(_guarded, work, abandon_on_cancel=True, limiter=self._threads)

    async def _explain(self, context: ToolContext, failure: Exception) -> str:
        error = only(failure)  # a tool that groups its tasks means the one that failed
        log.info("tool %r failed", context.call.name, exc_info=error)
        if self._on_error is not None:
            said = self._on_error(context, error if isinstance(error, Exception) else failure)
            return said if isinstance(said, str) else await said
        if isinstance(error, ToolError):
            return str(error)  # raised for the model on purpose
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _guarded(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Call it in a thread. StopIteration cannot go through a future, and `sys.exit` of a tool ends nobody else."""
    try:
        return work(), None
    except Exception as error:
        return None, error
    except SystemExit as error:
        return None, RuntimeError(f"the tool wanted to exit with {error.code!r}")


def _bound(found: Tool[..., Any], context: ToolContext) -> Callable[[], Any]:
    call = context.call
    data = call.input or b"{}"
    if isinstance(call.arguments, str) and call.arguments.encode("utf-8", "surrogatepass") == call.input:
        name = found.text_argument()  # free text, of a custom tool
        data = msgspec.json.encode({name: call.arguments} if name else call.arguments)
    try:
        return found.bind(data, context)
    except ArgumentsInvalid as error:
        raise _Refused(f"the arguments do not fit, so the tool was not run: {error}") from error


def _as_json(value: Any, name: str) -> Any:
    """The value as JSON has it. Parts (images, files) stay what they are, for `tool_message`."""
    if isinstance(value, (Handoff, *PARTS)) or (
        isinstance(value, list | tuple) and any(isinstance(one, PARTS) for one in value)
    ):
        return value
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_of_model))
    except (TypeError, ValueError, RecursionError) as error:
        log.warning("tool %r returned what is no JSON", name, exc_info=error)
        raise _Refused(f"the tool returned a {type(value).__name__} that is no JSON: {error}") from error


def _of_model(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} is not JSON")
    return dump(mode="json")


def _why(data: bytes) -> str:
    try:
        loads(data)
    except JSONDecodeError as error:
        return str(error)
    return "refused by the provider"


def _clean(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= ERROR_CHARS else text[:ERROR_CHARS] + f"… ({len(text)} characters)"


def _is_async(fn: Callable[..., Any]) -> bool:
    return iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
