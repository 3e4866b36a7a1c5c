"""The JSON schema of a type, for the request to the provider. `strict=True`: see `messages/_strict.py`."""

from __future__ import annotations

from typing import Any

from millstream.messages._strict import strict_schema
from millstream.objects._backend import BackendName, choose, named

__all__ = ["json_schema"]


def json_schema(type: Any, *, strict: bool = False, backend: BackendName | None = None) -> dict[str, Any]:
    """Return the JSON schema of what `ObjectStream` reads for a type; a new dict each time.

    Args:
        type: as for `ObjectStream`.
        strict: in the form that providers with strict structured outputs demand.
        backend: as for `ObjectStream`.
    Raises: Inexpressible: the type cannot be said in the strict form; names the place. TypeError: the back end does not
        know the type. MissingExtra.
    """
    chosen = choose(type, backend)
    try:
        schema = chosen.schema(type)
    except Exception as error:
        raise TypeError(f"{chosen.name} has no JSON schema for {named(type)}: {error}") from error
    return strict_schema(schema) if strict else schema
