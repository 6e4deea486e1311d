"""The choice of the transport for a server, by what its node definitions say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from discomfort.exceptions import ServerError
from discomfort.orchestration.handshake import read_handshake
from discomfort.orchestration.remote_values import ContentDigests, RemoteValues
from discomfort.orchestration.shared_files import SharedFiles
from discomfort.orchestration.transport import Transport
from discomfort.orchestration.without_transport import WithoutTransport
from discomfort.orchestration.worker import Worker
from discomfort.workflow.workflow_ports import PORT

_log = logging.getLogger("discomfort.run")


class Transports:
    """The transports to the server of one worker. What they keep between calls is kept here."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._digests = ContentDigests()
        self._has_told = False

    def choose(self, definitions: Mapping[str, Any]) -> Transport:
        """The transport for one call of ``run``, with the definitions that hold for it. No I/O."""
        is_attached = self._worker.engine == "attached"
        try:
            told = read_handshake(definitions, is_ours=not is_attached)
            obstacle = ""
        except ServerError as error:
            told, obstacle = None, str(error)
        if told is not None and "disk" in told.sees:
            return SharedFiles(definitions, sees_memory="ram" in told.sees)
        if told is not None and told.remote is not None and self._worker._has_token:
            return RemoteValues(definitions, self._worker, told.remote, self._digests)
        if told is not None and told.remote is not None and not self._has_told:
            self._has_told = True
            _log.warning("the server could pass all values as they are: give its DISCOMFORT_TOKEN as token to attach()")
        if is_attached:
            obstacle = "it is attached, and was not started by this program"
        elif told is None:
            obstacle = obstacle or "it was started without our nodes; end it, and start it with Discomfort.create()"
        else:
            obstacle = "its nodes do not see the folder of contexts; the server's log says why"
        return WithoutTransport(definitions, obstacle, has_port=told is not None and PORT in definitions)
