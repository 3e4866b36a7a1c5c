"""`tool`: a typed Python function becomes something that a model can call.

The schema comes from the signature, the descriptions from the docstring (`_arguments.py`). Not known here: how tools
are run (`_runner.py`), and what a provider makes of a `ToolSpec` (`protocols/requests/`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

import msgspec

from millstream.errors import InvalidMessage
from millstream.messages import ToolSpec
from millstream.messages._strict import strict_schema
from millstream.tools._arguments import Arguments, ArgumentsInvalid
from millstream.tools._context import ToolContext

__all__ = ["AnyTool", "Tool", "as_tools", "tool", "tool_specs"]

P = ParamSpec("P")
R = TypeVar("R")

NAME = re.compile(r"[A-Za-z0-9_][\w.:/-]{0,127}", re.ASCII)  # the widest rule of any provider; most allow 64 of [\w-]


class Tool(Generic[P, R]):
    """A function that a model can call. It can still be called as before.

    Args:
        fn: sync or async, its parameters typed. A parameter of type `ToolContext` is filled in by the runner. A sync
            function runs in a worker thread.
        name: by default the function's.
        description: by default the function's docstring, up to its sections.
        parameters: JSON schema of the arguments. If it is given, the signature is not read: the function gets the
            members of the object by name, checked by nobody, and a `ToolContext` as `context` if it takes one so named.
        timeout: seconds that one call may take; None: as the run says; `math.inf`: no limit.
        strict: see `ToolSpec`. The schema of a function is then made strict: all parameters are required, those with a
            default too, and objects have the keys of their types only.
        needs_approval: without an approval hook that lets it, it is not run.
    Raises: TypeError: no schema can be made of the function; says why. ValueError: a name that no provider takes.
        Inexpressible: no strict schema can say one of its types; names the place.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str = "",
        description: str = "",
        parameters: dict[str, Any] | None = None,
        timeout: float | None = None,
        strict: bool | None = None,
        needs_approval: bool = False,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"a tool is made of a function, not of {type(fn).__name__}")
        of = fn.func if isinstance(fn, partial) else fn
        if inspect.isgeneratorfunction(of) or inspect.isasyncgenfunction(of):
            raise TypeError(f"{of.__qualname__} is a generator; a tool returns its result")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {timeout!r}")
        update_wrapper(self, of)
        self._fn = fn
        self._arguments = Arguments(fn) if parameters is None else None
        self.name = name or getattr(of, "__name__", type(of).__name__)
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name that a model can call; give one: tool(name=...)")
        said = self._arguments.description if self._arguments else inspect.getdoc(of) or ""
        self.description = description or said
        self.parameters: dict[str, Any] = self._arguments.schema if self._arguments else dict(parameters or {})
        if strict and self._arguments:
            self.parameters = strict_schema(self.parameters)
        self.timeout = timeout
        self.strict = strict
        self.needs_approval = needs_approval
        self.is_async = inspect.iscoroutinefunction(of) or inspect.iscoroutinefunction(getattr(of, "__call__", None))  # noqa: B004
        self._wants_context = self._arguments is None and _takes_context(fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self._fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        return ToolSpec(self.name, self.description, self.parameters, self.strict)

    def bind(self, data: bytes, context: ToolContext) -> Callable[[], Any]:
        """Read the arguments and return the call that is left to be made.

        Args: data: a JSON object. context: for the parameter that wants it.
        Raises: ArgumentsInvalid: says where and why.
        """
        fn: Callable[..., Any] = self._fn
        if self._arguments is not None:
            args, kwargs = self._arguments.read(data, context)
            return partial(fn, *args, **kwargs)
        try:
            named = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ArgumentsInvalid(str(error)) from error
        return partial(fn, **named | ({"context": context} if self._wants_context else {}))

    def text_argument(self) -> str:
        """The parameter that takes the free text of a custom tool, "" if there is not exactly one."""
        names = self._arguments.names if self._arguments else list(self.parameters.get("properties", ()))
        return names[0] if len(names) == 1 else ""


def _takes_context(fn: Callable[..., Any]) -> bool:
    try:
        return "context" in inspect.signature(fn).parameters
    except ValueError:  # of some functions written in C nothing is known
        return False


AnyTool: TypeAlias = Tool[..., Any] | ToolSpec | Callable[..., Any]
"""A tool, a function that becomes one, or the description of a tool that somebody else runs."""


@overload
def tool(fn: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    timeout: float | None = None,
    strict: bool | None = None,
    needs_approval: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(fn: Any = None, /, **options: Any) -> Any:
    """Make a tool of the function `fn`: `@tool`, or with the options of `Tool`: `@tool(timeout=5.0)`.

    Raises: as `Tool`: what the model is told is read from signature and docstring, here and not at the first call.
    """
    return partial(Tool, **options) if fn is None else Tool(fn, **options)


def as_tools(tools: Iterable[AnyTool]) -> dict[str, Tool[..., Any] | ToolSpec]:
    """Return tools by name.

    Raises: InvalidMessage: two have one name. TypeError: these are not several. As `Tool`.
    """
    if not isinstance(tools, Iterable) or isinstance(tools, str | bytes | Mapping):
        remedy = ": give it in a list" if callable(tools) or isinstance(tools, ToolSpec) else ""
        raise TypeError(f"tools must be several functions, tools or ToolSpecs, not {type(tools).__name__}{remedy}")
    found: dict[str, Tool[..., Any] | ToolSpec] = {}
    for at, one in enumerate(tools):
        made = one if isinstance(one, Tool | ToolSpec) else Tool(one)
        if made.name in found:
            raise InvalidMessage(f"tools[{at}] has a name that is taken: {made.name!r}", field=f"tools[{at}].name")
        found[made.name] = made
    return found


def tool_specs(tools: Iterable[AnyTool]) -> tuple[ToolSpec, ...]:
    """Return what a model is told of tools, for `Request.tools`. Raises: as `as_tools`."""
    return tuple(one.spec if isinstance(one, Tool) else one for one in as_tools(tools).values())
