"""Which library validates a type: pydantic if there is anything of pydantic in it, else msgspec.

What the type is decides, not what happens to be installed. `backend=` overrules it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from millstream.messages._annotations import needs_pydantic
from millstream.objects._msgspec import MsgspecBackend
from millstream.objects._pydantic import PydanticBackend

__all__ = ["Backend", "BackendName", "Validators", "choose", "named"]

BackendName = Literal["msgspec", "pydantic"]
Validator = Callable[[bytes | bytearray], Any]


class Backend(Protocol):
    """What a validation back end can do. A new one is a file like `_msgspec.py` and a line in `choose`."""

    name: str
    invalid: tuple[type[Exception], ...]

    def validator(self, annotation: Any) -> Validator: ...
    def schema(self, annotation: Any) -> dict[str, Any]: ...
    def explain(self, error: Any) -> tuple[tuple[str | int, ...], str]: ...


def choose(annotation: Any, name: BackendName | None = None) -> Backend:
    """The back end for a type.

    Raises: MissingExtra: it is not installed. ValueError: no such back end.
    """
    if name not in (None, "msgspec", "pydantic"):
        raise ValueError(f"backend must be 'msgspec' or 'pydantic', not {name!r}")
    if name is None:
        name = "pydantic" if needs_pydantic(annotation) else "msgspec"
    return PydanticBackend() if name == "pydantic" else MsgspecBackend()


def named(annotation: Any) -> str:
    """The name of a type, for messages."""
    return getattr(annotation, "__name__", None) or repr(annotation)


class Validators:
    """The validators of one root type, made once for each place of it that is asked for."""

    def __init__(self, annotation: Any, backend: Backend) -> None:
        self.backend = backend
        self.root = self._make(annotation)
        self._made: list[tuple[Any, Validator]] = [(annotation, self.root)]

    def of(self, annotation: Any) -> Validator:
        """The validator of an annotation. Raises: TypeError: the back end cannot read it."""
        for known, validator in self._made:  # annotations need not be hashable, and are few
            if known is annotation or known == annotation:
                return validator
        validator = self._make(annotation)
        self._made.append((annotation, validator))
        return validator

    def _make(self, annotation: Any) -> Validator:
        try:
            return self.backend.validator(annotation)
        except Exception as error:
            raise TypeError(f"{self.backend.name} cannot read {named(annotation)}: {error}") from error
