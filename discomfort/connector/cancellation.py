"""Restarts an owned server whose node keeps running after its prompt was cancelled."""

from __future__ import annotations

import asyncio
import logging
import time

from discomfort.client.protocol import running_prompts
from discomfort.client.runs import PromptRun
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.recovery import Recovery
from discomfort.connector.resources import Resources
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import ServerDiedError, ServerError, StateError

_log = logging.getLogger("discomfort.connector")

_LOOK_EVERY = 0.5
"""Seconds between two looks at the queue."""
_REQUEST_DEADLINE = 5.0
"""Seconds for one look: short, since a server that a node blocks must not delay the restart by the usual deadline."""


class CancellationWatch:
    """Ends nodes that ignore their interrupt, if ``cancel_restart_after`` is set."""

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

    def escalate(self, run: PromptRun | None) -> None:
        """Watch in the background until a prompt that the client dequeued or interrupted has ended."""
        seconds = self._parts.settings.cancel_restart_after
        # A prompt that never left, or that has ended, occupies nothing. An attached server is not ours to restart.
        if seconds is None or not self._parts.owned or run is None or run.stage in {"new", "ended"}:
            return
        # In the background: the caller's CancelledError must not wait for a node. The count names the server that is
        # meant, so that a server started in the meantime is not restarted for this prompt.
        self._background.spawn(self._wait_for_end(run.prompt_id, seconds, self._recovery.count), "discomfort-ladder")

    async def _wait_for_end(self, prompt_id: str, seconds: float, count: int) -> None:
        deadline = time.monotonic() + seconds
        while await self._is_running(prompt_id, count):
            left = deadline - time.monotonic()
            if left <= 0:
                problem = f"the server was restarted: cancelled prompt {prompt_id} kept running for {seconds:g} s"
                self._loss.give_up(ServerDiedError(problem), count)
                return
            await asyncio.sleep(min(_LOOK_EVERY, left))

    async def _is_running(self, prompt_id: str, count: int) -> bool:
        client = self._parts.client
        if client is None or self._recovery.count != count or self._lifecycle.state is not State.READY:
            return False  # The node ended with the server that ran it.
        try:
            # ComfyUI checks its interrupt flag between nodes and in samplers' callbacks; other nodes run to their end,
            # and the queue lists their prompt as running until then.
            return prompt_id in running_prompts(await client.rest.queue(deadline=_REQUEST_DEADLINE))
        except StateError:
            # The client was closed by a shutdown or a restart, which ends the node too.
            return False
        except ServerError as error:
            # A node that holds the GIL silences HTTP as well: no answer counts as "still running".
            _log.debug("no answer about a cancelled prompt: %s", type(error).__name__)
            return True
