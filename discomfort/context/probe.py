"""The probe of a client: a folder in memory and one on disk, by which a server shows that it sees our contexts."""

from __future__ import annotations

import logging
import secrets
import sys
from pathlib import Path

from discomfort._system import shared_memory
from discomfort._system.claimed_folders import ClaimedFolder
from discomfort.context import folders
from discomfort.context.exchange import PROBES, PYTHON, VARIABLE, ServerPlaces, probe_name

_log = logging.getLogger("discomfort.context")


class Probe:
    """Tells a server where contexts are. Its folders are claimed: they go with :meth:`close`, or with this process."""

    def __init__(self) -> None:
        """Raises ConfigurationError if the folder on disk cannot be used, OSError."""
        token = secrets.token_hex(16)
        root = folders.disk_root(PROBES)
        self._claims = [folders.make_home(root, probe_name(token))]
        memory = None
        try:
            self._claims.append(folders.make_memory_folder(shared_memory.FOLDER, probe_name(token)))
            memory = str(self._claims[-1].path.parent)
        except OSError as error:
            _log.debug("no folder in memory: %s", error)
        self.places = ServerPlaces(memory, str(root.parent.absolute()), token)

    @property
    def paths(self) -> list[Path]:
        """Its folders."""
        return [claim.path for claim in self._claims]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tell a server where contexts are, and which Python has the library."""
        told = {VARIABLE: self.places.as_text()}
        # A program that embeds Python has no interpreter to name.
        return {**told, PYTHON: sys.executable} if sys.executable else told

    def close(self) -> None:
        """Remove its folders. Safe to call twice. Does nothing in a forked child."""
        claims: list[ClaimedFolder] = self._claims
        for claim in claims:
            claim.remove()
