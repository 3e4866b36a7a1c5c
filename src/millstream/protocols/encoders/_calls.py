"""The tool calls that a client of somebody else's wire gets to see: which ones, under which id and number, how much.

These wires know no calls that the server runs. In a run of several steps (`StepStart`) calls are therefore held until
it is clear who runs them: what got a `ToolResult` is not shown, the rest comes whole before the end, and not at all if
an error is the end. Everywhere else each fragment goes out at once.

A call that was cut off must not look complete to the client: `cut_off` says when the wire's own end must be left out.
"""

from __future__ import annotations

from orjson import JSONDecodeError, loads

from millstream.events import FinishReason, ToolCall, ToolCallDelta, Validity

__all__ = ["ClientCall", "ClientCalls"]


class ClientCall:
    """One call on the client's wire.

    Attributes:
        number: which one of its choice, over all steps, from 0.
        index: of the events that tell of it.
        begun: id and name are out. Clients want both at once, so nothing of a call is out before its name is known.
        over: nothing more of it will come.
        may_end: the client may take it as complete, or can see by itself that it is not.
        custom: its input is free text, as decoders tell by `meta["custom"]`.
    """

    __slots__ = (
        "begun", "choice", "custom", "id", "index", "made_up", "may_end", "name", "number", "over", "sent", "waiting",
    )  # fmt: skip

    def __init__(self, number: int, choice: int, index: int, made_up: str) -> None:
        self.number = number
        self.choice = choice
        self.index = index
        self.made_up = made_up
        self.id = ""
        self.name = ""
        self.begun = self.over = self.may_end = self.custom = False
        self.sent: list[str] = []
        self.waiting: list[str] = []

    def take(self, event: ToolCallDelta) -> str | None:
        """Return the arguments to write now, None if nothing can be written yet."""
        if not self.begun and not self.name:
            self.waiting.append(event.arguments)
            return None
        if not self.waiting:
            return event.arguments
        waiting, self.waiting = self.waiting, []
        return "".join([*waiting, event.arguments])

    def rest(self, call: ToolCall) -> str:
        """Return what is missing of the arguments; "{}" for a whole call without any, as clients parse the text.

        What is out cannot be called back: "" if the call, changed on the way, no longer begins with it.
        """
        text = call.input.decode("utf-8", "surrogatepass")
        sent = "".join(self.sent)
        if not text and not sent and call.validity is Validity.VALID and not self.custom:
            return "{}"
        return text.removeprefix(sent) if text.startswith(sent) else ""


class ClientCalls:
    """The calls of one response."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[int, int], ClientCall] = {}
        self._n: dict[int, int] = {}
        self._held: dict[int, ToolCall] = {}
        self._n_held = 0
        self._held_by_id: dict[str, list[int]] = {}
        self.holding = False
        """In a run of several steps."""
        self._cut = False
        self._cut_unseen = False

    def find(self, event: ToolCallDelta | ToolCall, prefix: str) -> ClientCall:
        """Return the call that this event belongs to. `prefix`: of the id that a call without one gets."""
        key = (event.choice, event.index)
        call = self._under_way.get(key)
        if call is None or (call.begun and event.id and event.id != call.id != call.made_up):
            self._cut_unseen = self._cut_unseen or call is not None  # nobody said that the earlier one was over
            n = self._n.get(event.choice, 0)
            made_up = f"{prefix}{n}" if event.choice == 0 else f"{prefix}{event.choice}_{n}"
            call = self._under_way[key] = ClientCall(n, event.choice, event.index, made_up)
            self._n[event.choice] = n + 1
        if not call.begun:
            call.id = event.id or call.id or call.made_up
            call.name = event.name or call.name
            call.custom = call.custom or bool(event._meta and event._meta.get("custom")) or _is_free_text(event)
        return call

    def done(self, event: ToolCall) -> None:
        """Nothing more will come of this call, which `find` has returned."""
        call = self._under_way.pop((event.choice, event.index))
        call.over = call.may_end = True
        if event.validity is Validity.INCOMPLETE:
            self._cut = True
            if _is_json(event.input):
                self._cut_unseen, call.may_end = True, False

    def forget(self, call: ClientCall) -> None:
        """The client was told that this call is over: what still comes for its place is another one."""
        key = (call.choice, call.index)
        if self._under_way.get(key) is call:
            del self._under_way[key]

    def any(self, choice: int) -> bool:
        """Whether the client saw a call of this choice."""
        return choice in self._n

    def hold(self, event: ToolCall) -> None:
        """Keep a call until it is clear who runs it."""
        self._held[self._n_held] = event
        self._held_by_id.setdefault(event.id, []).append(self._n_held)
        self._n_held += 1

    def answered(self, id: str) -> None:
        """The server ran this call."""
        for number in self._held_by_id.pop(id, ()):
            del self._held[number]

    def release(self) -> list[ToolCall]:
        """Return the calls that nobody ran, and hold no more."""
        held, self._held, self._held_by_id, self.holding = [*self._held.values()], {}, {}, False
        return held

    def cut_off(self, reason: FinishReason) -> bool:
        """Whether the end must be left out, because some call was cut off and `reason` would not tell the client."""
        if reason is FinishReason.INCOMPLETE or self._under_way or self._cut_unseen:
            return True
        return self._cut and reason is not FinishReason.LENGTH


def _is_free_text(event: ToolCallDelta | ToolCall) -> bool:
    """JSON is never equal to its own text."""
    text = event.arguments if isinstance(event, ToolCall) else None
    return isinstance(text, str) and text.encode("utf-8", "surrogatepass") == event.input  # type: ignore[union-attr]


def _is_json(data: bytes) -> bool:
    try:
        loads(data)
    except JSONDecodeError:
        return False
    return True
