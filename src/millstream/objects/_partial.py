"""Typed partial values: what has arrived, as instances of the user's types, nested ones too.

What is complete is validated, once, from its own bytes. What is still open is built without validation: an object of
its class from the fields that have begun (the others have their default, or are `msgspec.UNSET`), an array from its
items. So every value shown is of its declared type; what cannot be yet is withheld: half a string where a date or an
enum is expected, an object of a union while its class is not certain.
Cost per partial: O(width) of each container that is open; a byte is validated once for each container around it.
Source: STREAMS.md section 9 and instructor#1999: validate only closed structures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from millstream.core import Delta
from millstream.objects._backend import Validators
from millstream.objects._shape import (
    NOTHING,
    Record,
    is_array,
    is_mapping,
    literals,
    members,
    record,
    root_model,
    step,
)

__all__ = ["WITHHELD", "TypedPartial"]

WITHHELD: Any = type("WITHHELD", (), {"__repr__": lambda self: "WITHHELD"})()
"""There is nothing to show yet."""


class _Plan:
    """What there is to know of one place of the type, found out once.

    Attributes:
        takes_text: half a string may be shown there.
        objects, arrays: what an open container may become, each with the RootModels around it, the outermost first.
    """

    def __init__(self, annotation: Any, validators: Validators) -> None:
        self.annotation = Any if annotation is NOTHING else annotation
        self.takes_text = any(member in (str, Any, object) for member in members(self.annotation))
        self.objects: list[tuple[tuple[Any, ...], Record | None]] = []
        self.arrays: list[tuple[tuple[Any, ...], Any]] = []
        self._validators = validators
        self._validate: Any = None
        self._children: dict[Any, _Plan] = {}
        self._add(self.annotation, ())

    def _add(self, annotation: Any, roots: tuple[Any, ...]) -> None:
        for member in members(annotation):
            if (inner := root_model(member)) is not None:
                self._add(inner, (*roots, member))
                continue
            anything = member in (Any, object)
            if anything or (is_array(member) and not hasattr(member, "_fields")):  # half a NamedTuple is none
                self.arrays.append((roots, getattr(member, "__origin__", member)))
            if anything or is_mapping(member):
                self.objects.append((roots, None))
            elif (fields := record(member)) is not None:
                self.objects.append((roots, fields))

    def child(self, key: str | int) -> _Plan:
        """The plan of an item or a field. Positions and unknown keys share theirs, so that there are few."""
        if isinstance(key, str):
            known: Any = key if any(fields and key in fields.names for _, fields in self.objects) else ...
        else:
            known = key if any(cls is tuple for _, cls in self.arrays) else 0
        plan = self._children.get(known)
        if plan is None:
            plan = self._children[known] = _Plan(step(self.annotation, key), self._validators)
        return plan

    def valid(self, data: bytes | bytearray) -> Any:
        """Validate something complete."""
        if self._validate is None:
            self._validate = self._validators.of(self.annotation)
        return self._validate(data)


class _Open:
    """A container that is open."""

    __slots__ = ("is_object", "items", "key", "plan")

    def __init__(self, plan: _Plan, is_object: bool) -> None:
        self.plan = plan
        self.is_object = is_object
        self.key: Any = None  # of its child that is open, None if there is none
        self.items: Any = {} if is_object else []  # what is complete


class TypedPartial:
    """Follows the deltas of one document.

    Attributes: error: why something complete was refused; from then on nothing is shown.
    """

    def __init__(self, annotation: Any, validators: Validators) -> None:
        self._plan = _Plan(annotation, validators)
        self._invalid = validators.backend.invalid
        self._open: list[_Open] = []
        self._whole: Any = WITHHELD
        self.error: Exception | None = None

    def take(self, deltas: Sequence[Delta], raw: bytearray) -> None:
        """Take what a piece has caused."""
        if self.error is not None:
            return
        try:
            for delta in deltas:
                if delta.op != "append":
                    self._take(delta, raw)
        except self._invalid as error:
            self.error = error

    def _take(self, delta: Delta, raw: bytearray) -> None:
        path, op, value = delta
        depth = len(path)
        del self._open[depth:]
        plan = self._open[-1].plan.child(path[-1]) if depth else self._plan
        if op == "end":
            start, end = value
            self._put(path, plan.valid(raw[start:end]))
        elif delta.complete:
            known = value.__class__ is plan.annotation or plan.annotation is Any
            self._put(path, value if known else plan.valid(json.dumps(value).encode()))
        else:
            if depth:
                self._open[-1].key = path[-1]
            if not isinstance(value, str):
                self._open.append(_Open(plan, isinstance(value, dict)))

    def _put(self, path: tuple[str | int, ...], value: Any) -> None:
        if not path:
            self._whole = value
            return
        parent = self._open[-1]
        parent.key = None
        if parent.is_object:
            parent.items[path[-1]] = value
        else:
            parent.items.append(value)

    def build(self, live: Any) -> Any:
        """Return the partial value, `WITHHELD` if there is none.

        Args: live: the untyped live value; half strings are taken from it.
        Raises: what a class of the user's raises when it is made from part of its fields.
        """
        if self.error is not None:
            return WITHHELD
        if not self._open:
            return live if isinstance(live, str) and self._plan.takes_text else self._whole
        for frame in self._open[:-1]:
            live = live[frame.key]
        last = self._open[-1]
        child: Any = WITHHELD
        if last.key is not None and last.plan.child(last.key).takes_text:
            child = live[last.key]
        for frame in reversed(self._open):
            child = _object(frame, child) if frame.is_object else _array(frame, child)
        return child


def _object(frame: _Open, child: Any) -> Any:
    """An open object as its class would have it."""
    complete = frame.items
    choice = frame.plan.objects
    if len(choice) > 1:
        choice = [(roots, fields) for roots, fields in choice if fields is None or _may_be(fields, complete)]
    if len(choice) != 1:
        return WITHHELD
    [(roots, fields)] = choice
    present = dict(complete) if child is WITHHELD else {**complete, frame.key: child}
    if fields is not None:
        present = fields.make({fields.names[key]: value for key, value in present.items() if key in fields.names})
    return _within(roots, present)


def _may_be(fields: Record, complete: dict[Any, Any]) -> bool:
    """Whether no tag and no literal that has arrived speaks against a class."""
    if fields.tag is not None and complete.get(fields.tag[0], fields.tag[1]) != fields.tag[1]:
        return False
    for key, value in complete.items():
        allowed = literals(fields.types[fields.names[key]]) if key in fields.names else None
        if allowed is not None and value not in allowed:
            return False
    return True


def _array(frame: _Open, child: Any) -> Any:
    """An open array as its class would have it."""
    if len(frame.plan.arrays) != 1:
        return WITHHELD
    [(roots, cls)] = frame.plan.arrays
    if cls in (set, frozenset):
        return _within(roots, cls(frame.items))  # what is open may not be hashable
    items = [*frame.items] if child is WITHHELD else [*frame.items, child]
    return _within(roots, tuple(items) if cls is tuple else items)


def _within(roots: tuple[Any, ...], value: Any) -> Any:
    for root in reversed(roots):
        value = root.model_construct(root=value)
    return value
