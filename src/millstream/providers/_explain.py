"""What went wrong with a provider, said so that the reader knows what to do next, and without the key."""

from __future__ import annotations

from millstream.errors import (
    AuthError,
    ConnectionFailed,
    InvalidRequest,
    ProviderError,
    StreamError,
    UnexpectedContentType,
)
from millstream.events import Error, Event
from millstream.providers._keys import Key
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator

__all__ = ["Explained"]


class Explained(Operator[Event]):
    """Add to each error of the source what only the provider knows.

    Args:
        key: what was sent, None for none.
        model: what was asked.
        url: where, without what is secret in it.
        no_key: what to say about a key that was not sent.
    """

    def __init__(self, source: Puller[Event], *, key: Key | None, model: str, url: str, no_key: str) -> None:
        super().__init__(source)
        self._key = key
        self._model = model
        self._url = url
        self._no_key = no_key
        self._told: StreamError | None = None

    async def open(self, tasks: Tasks) -> None:
        """Open the source."""
        try:
            await super().open(tasks)
        except StreamError as error:
            self._tell(error)
            raise

    async def pull(self) -> list[Event]:
        """Pass a batch on."""
        try:
            batch: list[Event] = await self._source.pull()
        except StreamError as error:
            self._tell(error)
            raise
        for event in batch[-3:]:  # after a fatal Error come at most Usage and Finish
            if isinstance(event, Error):
                self._tell(event.error)
        return batch

    def join_texts(self) -> None:
        """As the source."""
        self._source.join_texts()

    def _tell(self, error: StreamError) -> None:
        if error is self._told:  # as an event, and then as an exception
            return
        self._told = error
        hint = self._hint(error)
        message = f"{error.message} ({hint})" if hint else error.message
        error.args = (self._key.hide(message) if self._key else message, *error.args[1:])
        if self._key is not None and isinstance(error, (ProviderError, UnexpectedContentType)):
            self._key.hide_in(error)

    def _hint(self, error: StreamError) -> str:
        match error:
            case ConnectionFailed():
                return f"is {self._url} the right address, and is the server running?"
            case AuthError():
                return f"it was sent the key from {self._key.origin}" if self._key else self._no_key
            case InvalidRequest(status=404):
                return f"does {self._url} have a model named {self._model!r}?"
            case ProviderError(status=int(status)) if 300 <= status < 400:
                return "redirects are not followed, because the key would travel: set base_url to where it points"
        return ""
