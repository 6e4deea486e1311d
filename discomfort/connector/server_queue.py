"""The server's queue, as a caller sees it."""

from __future__ import annotations

from dataclasses import dataclass

from discomfort.client.protocol import queue_positions, running_prompts
from discomfort.client.rest import RestClient


@dataclass(frozen=True, slots=True)
class ServerQueue:
    """Prompt ids, whoever submitted them: ``running`` now, and ``pending`` in the order in which they will run."""

    running: tuple[str, ...]
    pending: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.running) + len(self.pending)


async def read_queue(rest: RestClient) -> ServerQueue:
    """Ask the server for its queue. Raises ServerConnectionError, ServerResponseError."""
    answer = await rest.queue()
    running, positions = running_prompts(answer), queue_positions(answer)
    pending = sorted(positions.keys() - running, key=lambda prompt_id: positions[prompt_id])
    return ServerQueue(tuple(sorted(running)), tuple(pending))
