"""Validation by pydantic: `TypeAdapter` in JSON mode. The only file that imports pydantic, and only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream.errors import MissingExtra

__all__ = ["PydanticBackend"]


class PydanticBackend:
    """Types that pydantic knows. Raises: MissingExtra: pydantic is not installed."""

    name = "pydantic"

    def __init__(self) -> None:
        try:
            import pydantic
        except ModuleNotFoundError as error:
            raise MissingExtra("this type is validated by pydantic: pip install 'millstream[pydantic]'") from error
        self._adapter: Any = pydantic.TypeAdapter
        self.invalid: tuple[type[Exception], ...] = (pydantic.ValidationError,)

    def validator(self, annotation: Any) -> Callable[[bytes | bytearray], Any]:
        """A function from JSON bytes to a value of the type."""
        adapter = self._adapter(annotation)
        if not adapter.pydantic_complete:  # a name in it was not defined yet: now it must be
            adapter.rebuild()
        validate: Callable[[bytes | bytearray], Any] = adapter.validate_json
        return validate

    def schema(self, annotation: Any) -> dict[str, Any]:
        """The JSON schema of what is to be read."""
        schema: dict[str, Any] = self._adapter(annotation).json_schema(mode="validation")
        return schema

    def explain(self, error: Any) -> tuple[tuple[str | int, ...], str]:
        """Where the first thing is wrong, and what; the input itself is not quoted."""
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        more = error.error_count() - 1
        return first["loc"], first["msg"] + (f" (and {more} more)" if more else "")
