"""Tool calls under way: fragments by key -> `ToolCallDelta`s and exactly one `ToolCall` each.

The only place that decides what arguments are worth. Cost: one join and one orjson.loads per call.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from orjson import JSONDecodeError, dumps, loads

from millstream.events import ToolCall, ToolCallDelta, Validity

__all__ = ["ToolCalls"]


class _Call:
    __slots__ = ("choice", "id", "index", "json", "key", "name", "parts")

    def __init__(self, key: Hashable, choice: int, index: int, id: str, name: str, json: bool) -> None:
        self.key = key
        self.choice = choice
        self.index = index
        self.id = id
        self.name = name
        self.json = json
        self.parts: list[str] = []


class ToolCalls:
    """The tool calls of one response.

    A call is found again by its choice and key (the wire's index or block number). A fragment with another id under
    the same key begins a new call: some servers number every call 0.
    """

    __slots__ = ("_n", "_open", "any_given", "growing")

    def __init__(self) -> None:
        self._open: dict[tuple[int, Hashable], _Call] = {}
        self._n: dict[int, int] = {}
        self.any_given = False
        """Whether any call of the first choice was handed out."""
        self.growing: list[str] | None = None
        """What the last fragment was added to, if all that it did was to add its arguments there."""

    def __contains__(self, key: Hashable) -> bool:
        return (0, key) in self._open

    def fragment(
        self, key: Hashable, id: str, name: str, arguments: Any, *, choice: int = 0, json: bool = True
    ) -> ToolCallDelta:
        """Take a fragment. `arguments` is text, None, or (some servers) the whole JSON value.

        `json`: False in the first fragment of a call whose input is free text (OpenAI's custom tools). Such a call's
        first fragment and the call itself say so in `meta["custom"]`.
        """
        call = self._open.get((choice, key))
        if call is not None and id and call.id and id != call.id:
            self._open[choice, ("earlier", key, call.index)] = call
            call = None
        begins = call is None
        if call is None:
            index = self._n.get(choice, 0)
            self._n[choice] = index + 1
            self._open.pop((choice, key), None)
            call = self._open[choice, key] = _Call(key, choice, index, id, name, json)
            self.growing = None
        else:
            self.growing = call.parts if (call.id or not id) and (call.name or not name) else None
            call.id = call.id or id
            call.name = call.name or name
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = dumps(arguments).decode()
        if arguments:
            call.parts.append(arguments)
        meta = {"custom": True} if begins and not call.json else None
        return ToolCallDelta(call.id, call.name, arguments, call.index, choice, _meta=meta)

    def done(self, key: Hashable, *, choice: int = 0) -> ToolCall | None:
        """Return the call under this key, of which nothing more will come; None if there is none.

        None too, and the call stays for `finish`, if its arguments are empty or no JSON: a length limit may have cut
        them off, which the wire says only later.
        """
        call = self._open.get((choice, key))
        if call is None or (call.json and not _is_json("".join(call.parts))):
            return None
        del self._open[choice, key]
        return self._close(call, cut=False, confirmed=True)

    def finish(self, choice: int | None, *, cut: bool, confirmed: bool = True) -> list[ToolCall]:
        """Return all calls under way of one choice (None: of all), in order of appearance.

        `cut`: a length limit or an error ended the answer. `confirmed`: the wire said that the answer was over;
        if not, no call is complete, whatever its arguments look like.
        """
        if not self._open:
            return []
        keys = [key for key in self._open if choice is None or key[0] == choice]
        calls = sorted((self._open.pop(key) for key in keys), key=lambda call: (call.choice, call.index))
        return [self._close(call, cut=cut, confirmed=confirmed) for call in calls]

    def _close(self, call: _Call, *, cut: bool, confirmed: bool) -> ToolCall:
        text = "".join(call.parts)
        arguments: Any = None
        if not confirmed or (cut and not text):
            validity = Validity.INCOMPLETE
        elif not call.json:
            validity = Validity.INCOMPLETE if cut else Validity.VALID
            arguments = None if cut else text
        else:
            try:
                arguments = loads(text) if text else {}
                validity = Validity.VALID
            except JSONDecodeError:
                validity = Validity.INCOMPLETE if cut else Validity.INVALID
        if call.choice == 0:
            self.any_given = True
        # A lone surrogate cannot be encoded; orjson does not let one through, other sources might.
        data = text.encode("utf-8", "surrogatepass")
        meta = None if call.json else {"custom": True}
        return ToolCall(call.id, call.name, data, arguments, validity, call.index, call.choice, _meta=meta)


def _is_json(text: str) -> bool:
    try:
        loads(text)
    except JSONDecodeError:
        return False
    return True
