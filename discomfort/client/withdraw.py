"""Taking prompts off a server: off its queue, or interrupted where they run, and nobody else's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from discomfort.client.protocol import queue_positions, running_prompts
from discomfort.client.rest import RestClient, never_sent
from discomfort.exceptions import ServerConnectionError, ServerError

_log = logging.getLogger("discomfort.client")

_LOOKS = (0.0, 0.03, 0.1, 0.25, 0.25)
"""Seconds before each look. Several are needed: an interrupt that arrives between the moment when the worker takes a
prompt and the one when it starts it is forgotten by the server, and a prompt whose POST was broken off may be queued
late. A node that ignores the interrupt is not waited for; the server stops at the next node."""


_RETRY = 1.0
"""Seconds between tries on a server that does not answer at the moment."""


async def withdraw(rest: RestClient, prompt_ids: Iterable[str], *, uncertain: Iterable[str], deadline: float) -> bool:
    """Delete the prompts from the queue and interrupt the one that runs, by its id; tells whether it was done.

    ``uncertain`` are those that the server may still be about to accept; they are looked for more than once.
    Never raises for the server's sake: what could not be done within ``deadline`` seconds is logged. A server that is
    busy is asked again, one that refuses connections is not.
    """
    ids = frozenset(prompt_ids)
    try:
        async with asyncio.timeout(deadline):
            left = await _until_answered(rest, ids, frozenset(uncertain) & ids)
    except (ServerError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        _log.warning("%d prompt(s) could not be taken off the server: %s", len(ids), reason)
        return False
    if left:
        _log.info("prompt %s was interrupted and runs on until its node ends", ", ".join(sorted(left)))
    return True


async def _until_answered(rest: RestClient, ids: frozenset[str], uncertain: frozenset[str]) -> frozenset[str]:
    while True:
        try:
            return await _take_off(rest, ids, uncertain)
        except ServerConnectionError as error:
            if never_sent(error):
                raise
            _log.debug("the server does not answer the withdrawal: %s", error.problem)
        await asyncio.sleep(_RETRY)


async def _take_off(rest: RestClient, ids: frozenset[str], uncertain: frozenset[str]) -> frozenset[str]:
    left = ids
    for pause in _LOOKS:
        await asyncio.sleep(pause)
        await rest.delete(sorted(left))
        queue = await rest.queue()
        # Only what runs is interrupted: servers older than the targeted interrupt take any for the one that runs.
        for prompt_id in left & running_prompts(queue):
            await rest.interrupt(prompt_id)
        left = left & queue_positions(queue).keys()
        if not left and not uncertain:
            break
        left = left | uncertain
    return left - uncertain
