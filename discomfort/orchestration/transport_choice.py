"""The choice of the transport for a server, by what its node definitions say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from discomfort.context.exchange import LOADER, PORT
from discomfort.exceptions import ServerError
from discomfort.orchestration.core_nodes import CoreNodes, Uploads
from discomfort.orchestration.handshake import read_handshake
from discomfort.orchestration.shared_files import SharedFiles
from discomfort.orchestration.transport import Transport
from discomfort.orchestration.worker import Worker

_log = logging.getLogger("discomfort.run")


class Transports:
    """The transports to the server of one worker. What they keep between calls is kept here.

    ``is_exact``: values that would change on the way are refused.
    """

    def __init__(self, worker: Worker, *, is_exact: bool = False) -> None:
        self._worker, self._is_exact = worker, is_exact
        self._uploads = Uploads(worker)
        self._told = ""

    def choose(self, definitions: Mapping[str, Any]) -> Transport:
        """The transport for one call of ``run``, with the definitions that hold for it. No I/O."""
        is_attached = self._worker.engine == "attached"
        try:
            told = read_handshake(definitions, is_ours=not is_attached)
            reason = "it does not have them"
        except ServerError as error:
            told, reason = None, str(error)
        if told is not None and "disk" in told.sees:
            return SharedFiles(definitions, sees_memory="ram" in told.sees)
        if told is not None and is_attached:
            reason = "it is attached, and its nodes do not see the files of this program"
        elif told is not None:
            reason = "its nodes do not see the folder of contexts; the server's log says why"
        elif not is_attached and LOADER not in definitions:
            reason = "ComfyConnector.create() started it, before Discomfort.create() could bring them"
        self._tell(reason, is_attached=is_attached)
        has_port = told is not None and PORT in definitions
        return CoreNodes(definitions, self._worker, self._uploads, reason, has_port, self._is_exact)

    def _tell(self, reason: str, *, is_attached: bool) -> None:
        """One line in the log for each reason: a server of our own is expected to have the nodes."""
        if reason != self._told:
            self._told = reason
            level = logging.INFO if is_attached else logging.WARNING
            _log.log(level, "the server is used without our nodes (tier 3), since %s", reason)
