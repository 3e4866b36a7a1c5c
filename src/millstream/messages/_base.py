"""The base of all values here: frozen, with a repr that shows no long payloads."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = ["Value"]

REPR_CHARS = 60


class Value(Struct, frozen=True, omit_defaults=True):
    """A repr that names what differs from the defaults, without long payloads."""

    def __repr__(self) -> str:
        required = len(self.__struct_fields__) - len(self.__struct_defaults__)
        defaults = (object(),) * required + self.__struct_defaults__
        pairs = zip(self.__struct_fields__, defaults, strict=True)
        shown = [
            f"{name}={_shown(getattr(self, name))}" for name, default in pairs if _differs(getattr(self, name), default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: Any) -> str:
    if isinstance(value, str | bytes) and len(value) > REPR_CHARS:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{value[: REPR_CHARS - 20]!r}… ({len(value)} {unit})"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shown, value)) + ("," if len(value) == 1 else "") + ")"
    text = repr(value)
    return text if isinstance(value, Struct) or len(text) <= REPR_CHARS else text[: REPR_CHARS - 1] + "…"


def _differs(value: Any, default: Any) -> bool:
    # The default of a mutable field is a factory: what is empty is taken for it.
    return value != default and (bool(value) or not hasattr(default, "factory"))
