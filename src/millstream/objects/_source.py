"""Which events of a stream carry the text of the object.

The answer's text, or the arguments of one tool call. A call is complete only when the provider has confirmed it by a
`ToolCall` event: arguments that merely look complete are cut off.
"""

from __future__ import annotations

from typing import Any

from millstream.events import FinishReason, TextDelta, ToolCall, ToolCallDelta, Validity

__all__ = ["AnswerText", "CallArguments"]

# An answer that ended so may miss its end. (A container that is closed misses nothing.)
CUT = {FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.ERROR, FinishReason.INCOMPLETE}


class AnswerText:
    """The text of one answer.

    Args: choice: which of several answers.
    """

    void = False  # text that is cut may still have the object whole

    def __init__(self, choice: int) -> None:
        self._choice = choice

    def text(self, event: Any) -> str:
        """Return the piece of text that the event carries, "" if none."""
        return event.text if isinstance(event, TextDelta) and event.choice == self._choice else ""

    def cut(self, reason: FinishReason | None) -> str:
        """Why the text may miss its end, "" if it does not."""
        return f"finish reason: {reason}" if reason in CUT else ""


class CallArguments:
    """The arguments of one tool call.

    Args:
        call: the number of the call in the answer, or its id, or the name of a tool: then its first call.
        choice: which of several answers.
    """

    void = True  # a call that is cut must not be run, whatever its arguments look like

    def __init__(self, call: str | int, choice: int) -> None:
        self._call = call
        self._choice = choice
        self._index: int | None = None  # of the call, once found
        self._nameless: dict[int, list[str]] = {}  # fragments that came before their call's name
        self._any = False
        self._validity: Validity | None = None

    def text(self, event: Any) -> str:
        """Return the piece of arguments that the event carries, "" if none."""
        if not isinstance(event, (ToolCallDelta, ToolCall)) or event.choice != self._choice:
            return ""
        if not self._is_ours(event):
            if isinstance(event, ToolCallDelta) and not event.name and self._index is None:
                self._nameless.setdefault(event.index, []).append(event.arguments)
            return ""
        before = "".join(self._nameless.pop(event.index, ()))
        self._nameless.clear()
        if isinstance(event, ToolCallDelta):
            text = before + event.arguments
        else:
            # Wires that give a call whole send no fragments of it.
            text = "" if self._any or before else event.input.decode("utf-8", "surrogatepass")
            text = before + (text or ("{}" if event.validity is Validity.VALID and not (self._any or before) else ""))
            self._validity = event.validity
        self._any = self._any or bool(text)
        return text

    def _is_ours(self, event: ToolCallDelta | ToolCall) -> bool:
        if self._index is None and self._call in (event.index, event.id, event.name):
            self._index = event.index
        return self._index == event.index

    def cut(self, reason: FinishReason | None) -> str:
        """Why the arguments may miss their end, "" if they do not."""
        if self._index is None:
            return f"no call of {self._call!r} came" if isinstance(self._call, str) else f"no call {self._call} came"
        if self._validity in (None, Validity.INCOMPLETE):
            return "the provider did not confirm the call" + (f"; finish reason: {reason}" if reason else "")
        return ""
