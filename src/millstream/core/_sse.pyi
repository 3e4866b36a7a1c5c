from typing import Any, Final, Literal, final

from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12; the checkers know it for all

from millstream.errors import ParseError

MAX_RETRY_MS: Final[int]

@final
class SSEMessage:
    @property
    def event(self) -> str: ...
