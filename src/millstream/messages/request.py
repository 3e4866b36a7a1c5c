"""All that one model call is asked for, checked once, here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr, replace

from millstream.errors import InvalidMessage
from millstream.messages._base import Value
from millstream.messages.message import Message, MessagesLike, as_messages

__all__ = ["Request", "ResponseFormat", "ToolSpec"]


class ToolSpec(Value, frozen=True):
    """A tool that the model may call.

    Attributes:
        name: its name.
        description: what it does and when to use it.
        parameters: JSON schema of its arguments, an object.
        strict: the provider shall hold the model to the schema, which must then be a strict one: it is sent as it is.
            None leaves it to the provider.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


class ResponseFormat(Value, frozen=True):
    """The answer shall be JSON.

    Attributes:
        schema: JSON schema that it keeps, None for any JSON object.
        name: name of the schema, for providers that want one.
        description: what the value is for.
        strict: hold the model to the schema, where a provider has the choice.
    """

    schema: dict[str, Any] | None = None
    name: str = "response"
    description: str = ""
    strict: bool = True


class Request(Value, frozen=True, kw_only=True):
    """All that one model call is asked for. None and () leave a setting to the provider.

    Attributes:
        messages: the conversation; a string is what the user says, see `as_messages`.
        model: the provider's name of the model.
        max_tokens: how long the answer may become, reasoning included where the provider counts it so.
        temperature: 0 or more.
        top_p: from 0 to 1.
        stop: strings before which the answer ends; one string is accepted.
        seed: for answers that repeat, as far as the provider can.
        tools: what the model may call.
        tool_choice: "auto", "none", "required" or the name of one tool.
        response_format: JSON, with or without a schema.
        extra: whatever else the wire knows, merged into the body last: objects are merged, defaults of millstream give
            way, and a key that another field has written raises InvalidMessage.
    Raises: InvalidMessage: a value that no provider takes; `field` names it.
    """

    messages: tuple[Message, ...]
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    response_format: ResponseFormat | None = None
    extra: dict[str, Any] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            messages: MessagesLike,
            model: str = "",
            max_tokens: int | None = None,
            temperature: float | None = None,
            top_p: float | None = None,
            stop: str | Sequence[str] = (),
            seed: int | None = None,
            tools: Iterable[ToolSpec] = (),
            tool_choice: str | None = None,
            response_format: ResponseFormat | None = None,
            extra: dict[str, Any] = {},  # noqa: B006
        ) -> None: ...

    def __post_init__(self) -> None:
        force_setattr(self, "messages", tuple(as_messages(self.messages)))
        force_setattr(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        force_setattr(self, "tools", tuple(self.tools))
        _whole("max_tokens", self.max_tokens, at_least=1)
        _whole("seed", self.seed)
        _between("temperature", self.temperature, None)
        _between("top_p", self.top_p, 1.0)
        if not all(isinstance(text, str) and text for text in self.stop):
            raise InvalidMessage("stop must be strings that are not empty", field="stop")
        self._check_tools()

    def _check_tools(self) -> None:
        names = [tool.name for tool in self.tools]
        for at, name in enumerate(names):
            if not name or name in names[:at] or name in ("auto", "none", "required"):
                why = "has no name" if not name else f"has a name that is taken: {name!r}"
                raise InvalidMessage(f"tools[{at}] {why}", field=f"tools[{at}].name")
        choice = self.tool_choice
        if choice in (None, "auto", "none") or (choice == "required" and names) or choice in names:
            return
        known = ", ".join(["auto", "none", "required", *names])
        raise InvalidMessage(
            f"tool_choice {choice!r} is not one of {known}; 'required' needs tools", field="tool_choice"
        )

    def portable(self) -> Request:
        """Return the request without what only the providers of its messages understand; see `Message.portable`."""
        return replace(self, messages=tuple(message.portable() for message in self.messages))


def _whole(field: str, value: Any, *, at_least: int | None = None) -> None:
    if value is not None and (type(value) is not int or (at_least is not None and value < at_least)):
        bound = "" if at_least is None else f" of at least {at_least}"
        raise InvalidMessage(f"{field} must be a whole number{bound}, got {value!r}", field=field)


def _between(field: str, value: Any, most: float | None) -> None:
    good = type(value) in (int, float) and isfinite(value) and value >= 0 and (most is None or value <= most)
    if value is not None and not good:
        bound = "0 or more" if most is None else f"from 0 to {most:g}"
        raise InvalidMessage(f"{field} must be a number {bound}, got {value!r}", field=field)
