"""Floor 1: compiled sans-IO parsers. Bytes in, messages or values out; no I/O, no callbacks.

Each follows the same contract: `feed(data) -> list`, `close() -> list`, `reset()`. There is no pure Python version, so
that no installation is slow in silence: `tests/reference/` has one, for tests only.
"""

try:
    from millstream.core._delta import MISSING, Delta
    from millstream.core._json import JSONParser
    from millstream.core._ndjson import NDJSONParser
    from millstream.core._partial import LosslessFloat, StringCache, parse_partial_json
    from millstream.core._rules import Rule, Rules
    from millstream.core._shape import Shapes
    from millstream.core._sse import MAX_RETRY_MS, SSEMessage, SSEParser
except ModuleNotFoundError as _missing:
    if not (_missing.name or "").startswith("millstream.core."):
        raise  # a dependency is missing, which another build would not cure
    raise ImportError(
        f"millstream's compiled module {_missing.name} is missing. Installed from PyPI: "
        "`pip install --force-reinstall millstream`; in a checkout: `make build`.",
        name=_missing.name,
    ) from _missing

__all__ = [
    "MAX_RETRY_MS",
    "MISSING",
    "Delta",
    "JSONParser",
    "LosslessFloat",
    "NDJSONParser",
    "Rule",
    "Rules",
    "SSEMessage",
    "SSEParser",
    "Shapes",
    "StringCache",
    "parse_partial_json",
]
