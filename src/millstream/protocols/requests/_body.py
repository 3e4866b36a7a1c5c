"""What all request bodies share: walking the messages, refusing, ids, merging `extra`. Pure and synchronous.

A wire is one file: a subclass of `BodyWriter` that writes `_body`, `_defaults` and its own form of each part. What the
wire cannot say is refused with `refuse`, which names the field and what to do instead; nothing is left out in silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Any, NoReturn

import msgspec

from millstream.errors import Inexpressible, InvalidMessage
from millstream.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["BodyWriter", "data_url", "encoded"]

ERROR_PREFIX = "Error: "
INVALID_JSON = "INVALID_JSON"


class BodyWriter(ABC):
    """Writes the body of one request for one wire.

    Args:
        request: what is asked.
        protocol: canonical name of the wire, also the origin whose opaque parts it may send back.
        stream: whether a stream is asked for.
    """

    origins: frozenset[str] = frozenset()
    """More protocols whose opaque parts this wire understands."""
    system_apart = False
    """Whether the system messages in front stand outside of the messages."""
    late_system = True
    """Whether system messages may stand between others."""

    def __init__(self, request: Request, protocol: str, *, stream: bool) -> None:
        self.request = request
        self.protocol = protocol
        self.stream = stream
        self.field = ""
        self._at = 0, 0
        self._system = list(takewhile(lambda message: message.role == "system", request.messages))
        self._ids, self._answered = _call_ids(request.messages)

    def write(self) -> dict[str, Any]:
        """Return the body. Raises: Inexpressible, InvalidMessage."""
        body = {key: value for key, value in self._body().items() if value is not None}
        _merge(body, self.request.extra, "extra")
        _fill(body, self._defaults())
        return body

    @abstractmethod
    def _body(self) -> dict[str, Any]:
        """The body; values of None are left out."""

    def _defaults(self) -> dict[str, Any]:
        """What is added where neither a field of the request nor `extra` has put something."""
        return {}

    # --- what wires call -----------------------------------------------------------------------------------------

    def refuse(self, why: str, remedy: str, field: str = "") -> NoReturn:
        """Raise Inexpressible for `field`, by default that of the part at hand: `why`, and as `remedy` what to do."""
        field = field or self.field
        raise Inexpressible(f"{self.protocol}: {field}: {why}; {remedy}", field=field, protocol=self.protocol)

    def refuse_if_set(self, *names: str) -> None:
        """Refuse those of the settings `names` that are set: the wire has no such thing."""
        for name in names:
            if getattr(self.request, name) not in (None, ()):
                self.refuse("this wire has no such setting", f"leave {name} out", name)

    def messages(self) -> Iterator[Message]:
        """The messages, without the system's in front where those stand apart."""
        n_apart = len(self._system) if self.system_apart else 0
        for at, message in enumerate(self.request.messages[n_apart:], n_apart):
            self.field, self._at = f"messages[{at}]", (at, 0)
            if message.role == "system" and not self.late_system:
                self.refuse("system messages come first on this wire", "put it in front, or let the user say it")
            yield message

    def system(self) -> list[str]:
        """The words of the system messages in front."""
        return [message.text for message in self._system]

    def parts(self, message: Message) -> Iterator[Part]:
        """The parts of the message that `messages` gave last. Refuses what only another provider can read."""
        place = self.field
        for at, part in enumerate(message.parts):
            self.field, self._at = f"{place}.parts[{at}]", (self._at[0], at)
            if message.origin not in ("", self.protocol, *self.origins) and _is_opaque(part):
                self.refuse(
                    f"only {message.origin}, which gave it, can read it", "send message.portable() to another provider"
                )
            cut_off = isinstance(part, ToolCallPart) and part.validity == "incomplete"
            if cut_off and self._ids[self._at] not in self._answered:
                self.refuse("this call was cut off", "answer it with an error result, or leave it out")
            yield part

    def turns(self, own: Callable[[Any], Any], said: Callable[[Any], Any]) -> list[dict[str, Any]]:
        """The messages of a wire that knows two roles by turns: `own` writes the assistant's parts, `said` all others.

        Neighbours of one role become one message; words that are empty are left out, as such a wire refuses them.
        """
        out: list[dict[str, Any]] = []
        for message in self.messages():
            role, write = ("assistant", own) if message.role == "assistant" else ("user", said)
            content = [write(part) for part in self.parts(message) if not _is_blank(part)]
            if out and out[-1]["role"] == role:
                out[-1]["content"] += content
            elif content:
                out.append({"role": role, "content": content})
        return out

    def call_id(self) -> str:
        """The id of the call or result at hand; where the provider gave none, one that both share by their order."""
        return self._ids[self._at]

    def arguments(self, part: ToolCallPart) -> dict[str, Any]:
        """The arguments of a part as the object that this wire wants; anything else is put into one, to be seen."""
        try:
            found = part.arguments
        except msgspec.DecodeError:
            found = None
        return found if isinstance(found, dict) else {INVALID_JSON: part.input}

    def text_only(self, part: ToolResultPart) -> str:
        """The text of a part with a result, on a wire that has no place for anything else and no flag for errors."""
        if isinstance(part.content, str):
            said = part.content
        else:
            said = ""
            for one in part.content:
                if not isinstance(one, TextPart):
                    self.refuse("results are text on this wire", "let a user message after it carry the image or file")
                said += one.text
        return ERROR_PREFIX + said if part.is_error else said

    def unknown(self, part: Part, role: str) -> NoReturn:
        """Refuse a part that has no place in a message of this role."""
        kind = type(part).__name__
        if isinstance(part, ReasoningPart | ProviderPart):
            self.refuse(f"a {kind} has no place here", "send message.portable()")
        self.refuse(f"a {role} message takes no {kind}", "leave it out or say it in words")


def _is_blank(part: Part) -> bool:
    return isinstance(part, TextPart | RefusalPart) and not part.text


def encoded(data: bytes) -> str:
    """Base64."""
    return b64encode(data).decode()


def data_url(part: ImagePart | FilePart) -> str:
    """The bytes as a `data:` URL."""
    return f"data:{part.media_type or 'application/octet-stream'};base64,{encoded(part.data)}"


def _is_opaque(part: Part) -> bool:
    if isinstance(part, ReasoningPart) and (part.signature or part.encrypted):
        return True
    return isinstance(part, ProviderPart) or bool(part.opaque)


def _call_ids(messages: tuple[Message, ...]) -> tuple[dict[tuple[int, int], str], frozenset[str]]:
    """The id of each call and result by its place, and the ids that have a result.

    Where there is none (Gemini, Ollama), the n-th result of a name belongs to its n-th call.
    """
    ids: dict[tuple[int, int], str] = {}
    waiting: dict[str, list[str]] = {}
    answered = set()
    for m, message in enumerate(messages):
        for p, part in enumerate(message.parts):
            if isinstance(part, ToolCallPart):
                ids[m, p] = part.id or f"call_{m}_{p}"
                if not part.id:
                    waiting.setdefault(part.name, []).append(ids[m, p])
            elif isinstance(part, ToolResultPart):
                queue = waiting.get(part.name)
                if not part.id and not queue:
                    field = f"messages[{m}].parts[{p}]"
                    raise InvalidMessage(f"{field}: a result without id needs a call before it", field=field)
                ids[m, p] = part.id or queue.pop(0)  # type: ignore[union-attr]
                answered.add(ids[m, p])
    return ids, frozenset(answered)


def _merge(body: dict[str, Any], extra: Mapping[str, Any], path: str) -> None:
    for key, value in extra.items():
        place = f"{path}.{key}"
        if key not in body:
            body[key] = value
        elif isinstance(body[key], dict) and isinstance(value, Mapping):
            body[key] = dict(body[key])
            _merge(body[key], value, place)
        else:
            raise InvalidMessage(f"{place} would replace what another field of the request has written", field=place)


def _fill(body: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    for key, value in defaults.items():
        if isinstance(value, dict) and isinstance(body.get(key), dict):
            body[key] = dict(body[key])
            _fill(body[key], value)
        else:
            body.setdefault(key, value)
