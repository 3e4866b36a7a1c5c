"""`Conversation`: the history of a talk with a model, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Unpack, cast

from millstream.errors import IncompleteStream, InvalidMessage, StreamBusy, StreamError
from millstream.events import Event, Finish, FinishReason
from millstream.messages import Message, MessagesLike, as_messages
from millstream.providers._provider import Provider, RunSettings
from millstream.providers._result import Collector, TextResult
from millstream.streams import Stream
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator
from millstream.tools._tool import AnyTool
from millstream.tools.stop import StopWhen

__all__ = ["Conversation", "user_inputs"]

FAILED = (FinishReason.ERROR, FinishReason.INCOMPLETE)


class Conversation:
    """Keeps what was said and sends all of it with each turn.

    A turn joins the history whole, when its `Finish` has come: what the user said, the answer, and what tools were
    asked and gave. A turn that failed or was left takes back what the user said, so that it can be said again.

    Args:
        model: who answers; may be replaced between turns.
        messages: what was said before.
        tools, stop_when, settings: of each turn, as for `stream_text`; `system` is what the conversation starts with.
        keep_partial: keep turns that failed or were left, with as much of the answer as had come.
    """

    def __init__(
        self,
        model: Provider,
        *,
        messages: MessagesLike = (),
        tools: Iterable[AnyTool] = (),
        stop_when: StopWhen | None = None,
        keep_partial: bool = False,
        **settings: Unpack[RunSettings],
    ) -> None:
        self.model = model
        system = settings.pop("system", None)
        self.messages: list[Message] = [Message("system", system)] if system else []
        self.messages += as_messages(messages) if messages else []
        self.tools = tuple(tools)
        self.stop_when = stop_when
        self.keep_partial = keep_partial
        self.settings = settings
        self._turn: _Turn | None = None

    def say(self, said: MessagesLike, **settings: Unpack[RunSettings]) -> Stream[Event]:
        """Say something, and return the stream of the answer. Use it in `async with`.

        Args: said: a string, which is stripped, or messages. settings: for this turn.
        Raises: InvalidMessage: nothing was said. StreamBusy: the turn before has not ended. As `stream_text`.
        """
        self._refuse_second_turn()
        if isinstance(said, str):
            said = said.strip()
            if not said:
                raise InvalidMessage("nothing was said", field="messages")
        given = as_messages(said)
        chosen = cast("RunSettings", {**self.settings, **settings})
        source = self.model.stream_text([*self.messages, *given], tools=self.tools, stop_when=self.stop_when, **chosen)
        collector = Collector(getattr(self.model, "protocol", ""), source)
        return source._then(lambda puller: _Turn(puller, self, given, collector))

    def _refuse_second_turn(self) -> None:
        if self._turn is not None:
            raise StreamBusy("the turn before has not ended: read its stream to the end, or close it")

    async def ask(self, said: MessagesLike, **settings: Unpack[RunSettings]) -> TextResult:
        """Say something and return the whole answer.

        Args: said: a string, which is stripped, or messages. settings: for this turn, see `RunSettings`.
        Raises: as `say` and its stream, with the `TextResult` so far in `partial`. IncompleteStream: the end of the
            answer never came. A turn that failed leaves the history as it was, but for `keep_partial`.
        """
        collector = Collector()
        try:
            async with self.say(said, **settings) as events:
                async for event in events:
                    collector.add(event)
            if collector.result().reason is FinishReason.INCOMPLETE:
                raise IncompleteStream("the body ended before the answer did")
        except StreamError as error:
            error.partial = collector.result()
            raise
        return collector.result()


class _Turn(Operator[Event]):
    """Follows the answer, and lets it join the history."""

    def __init__(
        self, source: Puller[Event], conversation: Conversation, said: list[Message], collector: Collector
    ) -> None:
        super().__init__(source)
        self._conversation = conversation
        self._said = said
        self._collector = collector
        self._held: list[Event] = []

    async def open(self, tasks: Tasks) -> None:
        """Note what the user said, and open the source."""
        conversation = self._conversation
        conversation._refuse_second_turn()
        conversation._turn = self
        self._begun = len(conversation.messages)
        conversation.messages += self._said
        await super().open(tasks)

    async def pull(self) -> list[Event]:
        """Pass a batch on, but `Finish` not before it is asked for: who leaves in the middle has not got the answer."""
        batch: list[Event] = self._held or await self._source.pull()
        self._held = []
        if len(batch) > 1 and isinstance(batch[-1], Finish):
            batch, self._held = batch[:-1], batch[-1:]
        for event in batch:
            self._collector.add(event)
            if isinstance(event, Finish):
                self._end(whole=event.reason not in FAILED)
        return batch

    async def aclose(self) -> None:
        """Close the source; a turn without its end is taken back."""
        try:
            await super().aclose()
        finally:
            self._end(whole=False)

    def _end(self, *, whole: bool) -> None:
        conversation = self._conversation
        if conversation._turn is not self:
            return
        conversation._turn = None
        if whole or conversation.keep_partial:
            conversation.messages += self._collector.messages()
        else:
            del conversation.messages[self._begun :]


def user_inputs(lines: Iterable[str], stop: str = "exit") -> Iterator[str]:
    """Give what a user types, stripped, without empty lines, up to the line that is `stop`."""
    for line in lines:
        said = line.strip()
        if said == stop:
            return
        if said:
            yield said
