"""The check, at the beginning, that a server takes the token for its values."""

from __future__ import annotations

import logging

from discomfort.client.value_transfer import ValueTransfer
from discomfort.exceptions import ConfigurationError, ServerError
from discomfort.orchestration.handshake import read_handshake
from discomfort.orchestration.worker import Worker

_log = logging.getLogger("discomfort.run")

_REMEDY = (
    "Clone this library into custom_nodes of the server, set DISCOMFORT_TOKEN in its environment to a secret of 16 "
    "characters or more, and restart it"
)


async def check_token(worker: Worker, *, is_demanded: bool) -> None:
    """Nothing without a token. ``is_demanded``: a server without routes is an error, else a warning.

    Raises ConfigurationError if the server refuses the token, ServerConnectionError, ServerResponseError, StateError.
    """
    if not worker._has_token:
        return
    problem = await _obstacle(worker)
    if not problem:
        await worker._with_values(ValueTransfer.state)
    elif is_demanded:
        raise ConfigurationError(problem, key="token", value="***", remedy=_REMEDY)
    else:
        _log.warning("DISCOMFORT_TOKEN is of no use: %s. %s", problem, _REMEDY)


async def _obstacle(worker: Worker) -> str:
    try:
        told = read_handshake(await worker._node_definitions(), is_ours=False)
    except ServerError as error:
        return str(error)
    if told is None:
        return "the server does not have our nodes"
    return "" if told.remote is not None else "the server has our nodes, but no routes for values"
