from typing_extensions import disjoint_base

from millstream.errors import ParseError

@disjoint_base
class Parser:
    @property
    def error(self) -> ParseError | None: ...
