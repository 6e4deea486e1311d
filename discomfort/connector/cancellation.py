"""A cancelled prompt whose node goes on: after a set time the owned server is given up and started again."""

from __future__ import annotations

import asyncio
import logging
import time

from discomfort.client.protocol import running_prompts
from discomfort.client.runs import Run
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.recovery import Recovery
from discomfort.connector.resources import Resources
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import ServerDiedError, ServerError, StateError

_log = logging.getLogger("discomfort.connector")

_LOOK_EVERY = 0.5
_REQUEST_DEADLINE = 5.0


class CancellationWatch:
    """Sees to it that nodes which ignore their interrupt end, where ``cancel_restart_after`` asks for that."""

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        recovery: Recovery,
        loss: ServerLoss,
        background: BackgroundTasks,
    ) -> None:
        self._parts, self._lifecycle, self._recovery = parts, lifecycle, recovery
        self._loss, self._background = loss, background

    def escalate(self, run: Run | None) -> None:
        """The client has dequeued or interrupted the prompt; watch its end in the background."""
        seconds = self._parts.settings.cancel_restart_after
        if seconds is None or not self._parts.owned or run is None or run.stage in {"new", "ended"}:
            return
        self._background.spawn(self._wait_for_end(run.prompt_id, seconds, self._recovery.count), "discomfort-ladder")

    async def _wait_for_end(self, prompt_id: str, seconds: float, count: int) -> None:
        deadline = time.monotonic() + seconds
        while await self._is_running(prompt_id, count):
            left = deadline - time.monotonic()
            if left <= 0:
                problem = f"the server was restarted: cancelled prompt {prompt_id} ran on for {seconds:g} s"
                self._loss.give_up(ServerDiedError(problem), count)
                return
            await asyncio.sleep(min(_LOOK_EVERY, left))

    async def _is_running(self, prompt_id: str, count: int) -> bool:
        client = self._parts.client
        if client is None or self._recovery.count != count or self._lifecycle.state is not State.READY:
            return False
        try:
            return prompt_id in running_prompts(await client.rest.queue(deadline=_REQUEST_DEADLINE))
        except StateError:
            return False
        except ServerError as error:
            _log.debug("no answer about a cancelled prompt: %s", type(error).__name__)
            return True
