"""The output of an OpenAI Responses answer as it grows: items, their parts, and the messages that tell of both.

One message or reasoning item is under way at a time; what begins another item ends it. Every message has its number.
The official SDKs hold us to it: item ids and call ids are unique and not empty, an item ends as what it began as.
"""

from __future__ import annotations

from typing import Any

from millstream.protocols.encoders._sse import json_data, json_text
from millstream.protocols.encoders._unused import UnusedIds

__all__ = ["Output", "delta_form"]

# Kind of part -> kind of item, where the item keeps its parts, where the part keeps its text, the part's number,
# the messages of the part, those of its text.
PARTS = {
    "output_text": ("message", "content", "text", "content_index", "content_part", "output_text"),
    "refusal": ("message", "content", "refusal", "content_index", "content_part", "refusal"),
    "summary_text": (
        "reasoning", "summary", "text", "summary_index", "reasoning_summary_part", "reasoning_summary_text",
    ),
}  # fmt: skip


def delta_form(kind: str, at: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return what stands before and after the number in each fragment of this kind at this place."""
    head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'.encode()
    return head, b"," + json_text(at)[1:-1] + b',"delta":'


class Output:
    """The items of one response.

    Attributes:
        items: as they stand, in the form that the final response repeats.
        item: the message or reasoning item under way, else None.
        part: its part under way, else None.
        unused: as `UnusedIds.unused`; the ids of items and of calls are all different.
    """

    def __init__(self, response_id: str) -> None:
        self.items: list[dict[str, Any]] = []
        self.item: dict[str, Any] | None = None
        self.part: dict[str, Any] | None = None
        self._suffix = response_id.removeprefix("resp_")
        self._n = 0
        self.unused = UnusedIds().unused
        self._position = 0
        self._block: int | None = None
        self._words: list[str] = []
        self._form = b"", b""  # of a delta of the part under way
        self._tool: tuple[dict[str, Any], int, str, str] | None = None  # as `add_tool` has it, with its position
        self._early: list[dict[str, Any]] = []  # annotations of a part that has no words yet

    def say(self, kind: str, **fields: Any) -> bytes:
        """Write one message of this kind, with the next number."""
        data = json_data({"type": kind, "sequence_number": self._n, **fields}, kind)
        self._n += 1
        return data

    def delta(self, form: tuple[bytes, bytes], data: bytes, more: bytes = b"") -> bytes:
        """Write one fragment, JSON text `data`, in a form of `delta_form`. Cost: one formatting."""
        head, middle = form
        out = b"%b%d%b%b%b}\n\n" % (head, self._n, middle, data, more)
        self._n += 1
        return out

    def add(self, prefix: str, item: dict[str, Any]) -> tuple[dict[str, Any], int, bytes]:
        """End the item under way and begin one that is not of words.

        Args: prefix: of the id that is made if the item has none.
        Returns: the item with its id, its position, what to send.
        """
        out = self.end_item()
        position = len(self.items)
        id = item.get("id") or "_".join(filter(None, (prefix, self._suffix, str(position))))
        made = item | {"id": self.unused(id)}
        self.items.append(made)
        return made, position, out + self.say("response.output_item.added", output_index=position, item=made)

    def add_whole(self, prefix: str, item: dict[str, Any]) -> bytes:
        """Add an item of which everything is known."""
        made, position, out = self.add(prefix, item)
        return out + self.done(made, position)

    def add_tool(self, prefix: str, item: dict[str, Any], call_id: str, given: str) -> bytes:
        """Add the item of a tool that the provider runs. It goes on until its result, or another item, comes.

        `given`: the member for the result, "" if it has none.
        """
        going_on = item | ({"status": "in_progress"} if "status" in item else {})
        made, position, out = self.add(prefix, going_on)
        made |= {key: value for key, value in item.items() if key == "status"}
        self._tool = made, position, call_id, given
        return out

    def end_tool(self, call_id: str | None = None, result: Any = None, error: str | None = None) -> bytes:
        """End the tool under way, if it is that of this call (None: of any), with what it gave back."""
        if self._tool is None or call_id not in (None, self._tool[2]):
            return b""
        (item, position, _, given), self._tool = self._tool, None
        if given and result is not None:
            item[given] = result
        if error is not None:
            item["error"] = error
        return self.done(item, position)

    def done(self, item: dict[str, Any], position: int) -> bytes:
        """Say that an item is as it stays."""
        return self.say("response.output_item.done", output_index=position, item=item)

    def open_item(self, kind: str, block: int | None, id: str = "", **more: Any) -> bytes:
        """Make the message or reasoning item of this block (None: of any) the one under way. `more`: of a new one."""
        if self.item is not None and self.item["type"] == kind and block in (None, self._block):
            return b""
        new = {"type": kind, "status": "in_progress"}
        if kind == "message":
            added = self.add("msg", {"id": id, **new, "role": "assistant", "content": [], **more})
        else:
            added = self.add("rs", {"id": id, **new, "summary": [], **more})
        self.item, self._position, out = added
        self._block = block
        return out

    def open_part(self, kind: str, block: int | None) -> bytes:
        """Make a part of this kind the one under way, in the item of this block (None: of any)."""
        of, _, field, _, part, _ = PARTS[kind]
        out = self.open_item(of, block)
        if self.part is None or self.part["type"] != kind:
            out += self._end_part()
            self.part = {"type": kind, field: ""}
            if kind == "output_text":
                self.part |= {"annotations": [], "logprobs": []}
            at = self.at(kind)
            self._form = delta_form(f"response.{PARTS[kind][5]}.delta", at)
            out += self.say(f"response.{part}.added", **at, part=self.part)
        return out

    def at(self, kind: str) -> dict[str, Any]:
        """Where the part under way is; its kind is told."""
        _, parts, _, number, _, _ = PARTS[kind]
        assert self.item is not None  # noqa: S101
        return {"item_id": self.item["id"], "output_index": self._position, number: len(self.item[parts])}

    def words(self, kind: str, words: str, block: int | None, more: bytes = b"") -> bytes:
        """Write a fragment of a part of this kind; `more`: further members of the message, as JSON text.

        Raises: EncodeError: nothing has changed. Cost: O(len(words)).
        """
        data = json_text(words)
        part = self.part
        if part is not None and part["type"] == kind and block in (None, self._block):
            out = self.delta(self._form, data, more)
        else:
            out = self.open_part(kind, block) + self.delta(self._form, data, more)
        self._words.append(words)
        if self._early:
            early, self._early = self._early, []
            out += self.annotate(early)
        return out

    def annotate(self, annotations: list[dict[str, Any]]) -> bytes:
        """Add annotations to the text part under way; told once it has words, and again when it ends."""
        assert self.part is not None  # noqa: S101
        if not self._words:
            self._early += annotations
            return b""
        out, known = b"", self.part["annotations"]
        for annotation in annotations:
            at = {**self.at("output_text"), "annotation_index": len(known)}
            out += self.say("response.output_text.annotation.added", **at, annotation=annotation)
            known.append(annotation)
        return out

    def end_item(self, status: str = "completed") -> bytes:
        """End the item under way, if there is one."""
        if self.item is None:
            return self.end_tool()
        out = self._end_part()
        item, self.item = self.item, None
        item["status"] = status
        return out + self.done(item, self._position)

    def _end_part(self) -> bytes:
        part = self.part
        if part is None or self.item is None:
            return b""
        kind = part["type"]
        _, parts, field, _, of_part, of_words = PARTS[kind]
        part[field] = "".join(self._words)
        if self._early:
            part["annotations"], self._early = self._early, []
        more = {"logprobs": part["logprobs"]} if kind == "output_text" else {}
        out = self.say(f"response.{of_words}.done", **self.at(kind), **{field: part[field]}, **more)
        out += self.say(f"response.{of_part}.done", **self.at(kind), part=part)
        self.item[parts].append(part)
        self.part = None
        self._words = []
        return out
