"""What the acts share: the models behind the local server, and the screen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import millstream as ms
from millstream.cli._failure import CommandError, told
from millstream.cli._progress import Progress
from millstream.cli._view import View

__all__ = ["Stage"]


class Seen(Protocol):
    """Takes the next event of an act."""

    def __call__(self, event: ms.Event, *, show: bool = ...) -> None: ...


class Stage:
    """Where the acts are played.

    Args: url: of the local server. client: of httpx2. speed: divides all delays. n_acts: how many there will be.

    Attributes: played: what was measured, act by act.
    """

    def __init__(self, url: str, client: Any, view: View, speed: float, n_acts: int) -> None:
        self.url = url
        self.client = client
        self.view = view
        self.played: list[Progress] = []
        self._speed = speed
        self._n_acts = n_acts
        # No timeout, for slow motion; no retry, because what fails here shall be seen.
        options: dict[str, Any] = {"client": client, "timeouts": None, "retry": None, "api_key": "none"}
        self.openai = ms.providers.OpenAIChat("gemma", base_url=f"{url}/v1", **options)
        self.anthropic = ms.providers.Anthropic("gemma", base_url=url, **options)

    def pause(self, seconds: float) -> float:
        """Return what the speed leaves of a pause; 0.0 if nothing waits."""
        return seconds / self._speed

    def every(self, seconds: float) -> float:
        """The same for what needs some time: at the speed "max" it is as given."""
        return seconds if math.isinf(self._speed) else seconds / self._speed

    @contextmanager
    def act(self, title: str) -> Iterator[Seen]:
        """Play an act: what is given counts each event and shows it.

        Raises: CommandError: the act failed, or the end of its stream is missing; names the act.
        """
        title = f"{len(self.played) + 1}/{self._n_acts} {title}"
        progress = Progress(stall_s=self.every(1.0))

        def seen(event: ms.Event, *, show: bool = True) -> None:
            progress.add(event)
            if show:
                self.view.event(event)

        self.view.begin(title, progress)
        try:
            yield seen
        except ms.MillstreamError as error:
            raise CommandError(f"act {title}: {told(error)}") from error
        finally:
            self.view.end()
        if not progress.is_complete:
            raise CommandError(f"act {title}: the stream did not finish properly")
        self.played.append(progress)
