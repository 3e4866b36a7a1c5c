"""`jiter`'s own names on millstream's parser: `from millstream.compat import jiter` in the place of `import jiter`.

Same values, same errors (ValueError with jiter's message, line and column), same cache. Kept from jiter also what is
arguably wrong there: see docs/topics/incremental_json.md. Source: jiter 0.19, https://github.com/pydantic/jiter.

    >>> from_json(b'{"name": "Ali', partial_mode="trailing-strings")
    {'name': 'Ali'}

To parse a text that grows, use `millstream.JSONParser`, which does not begin anew with each piece.
"""

from __future__ import annotations

from typing import Any, Literal

from millstream.core import LosslessFloat, StringCache, parse_partial_json
from millstream.errors import ParseError

__all__ = ["LosslessFloat", "cache_clear", "cache_usage", "from_json"]

__version__ = "0.19.0"
"""The version of jiter whose behaviour this is."""

# One for the whole process, as in jiter; the parser of millstream itself shares nothing between calls.
_cache = StringCache()

_MODES = ("off", "on", "trailing-strings")


def from_json(
    json_data: bytes,
    /,
    *,
    allow_inf_nan: bool = True,
    cache_mode: Literal["all", "keys", "none"] | bool = "all",
    partial_mode: Literal["off", "on", "trailing-strings"] | bool = False,
    catch_duplicate_keys: bool = False,
    float_mode: Literal["float", "decimal", "lossless-float"] = "float",
) -> Any:
    """Parse a JSON text that may have been cut off.

    Args: those of `millstream.parse_partial_json`, by jiter's names.
    Returns: the value.
    Raises: ValueError: malformed, or cut off where `partial_mode` does not help, or a wrong option. TypeError.
    """
    if not isinstance(json_data, bytes):
        raise TypeError(f"'{type(json_data).__name__}' object is not an instance of 'bytes'")
    _check("partial mode", partial_mode, _MODES, "`'off'`, `'on'`, `'trailing-strings'` or a `bool`", bool)
    _check("string cache mode", cache_mode, ("all", "keys", "none"), "`'all'`, '`keys`', `'none`' or a `bool`", bool)
    _check(
        "float mode", float_mode, ("float", "decimal", "lossless-float"), "`'float'`, `'decimal'` or `'lossless-float'`"
    )
    try:
        return parse_partial_json(
            json_data,
            partial_mode,
            allow_inf_nan=allow_inf_nan,
            cache_mode=cache_mode,
            catch_duplicate_keys=catch_duplicate_keys,
            float_mode=float_mode,
            cache=_cache,
        )
    except ParseError as error:
        raise ValueError(error.message) from None


def _check(what: str, value: object, names: tuple[str, ...], choice: str, *other: type) -> None:
    if value in names or isinstance(value, other):
        return
    wrong = ValueError if isinstance(value, str) else TypeError
    raise wrong(f"Invalid {what}, should be {choice}")


def cache_clear() -> None:
    """Forget the strings that calls have left for each other."""
    _cache.clear()


def cache_usage() -> int:
    """How many strings the cache holds."""
    return len(_cache)
