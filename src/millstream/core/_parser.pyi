from millstream.errors import ParseError

class Parser:
    @property
    def error(self) -> ParseError | None: ...
