"""The command line of a server, which discovery gives to the launcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """A command line that starts a server.

    ``argv`` is passed to the system unchanged, never to a shell. ``cwd`` is the working folder. ``env`` is the whole
    environment, or ``None`` for ours; it may contain secrets and is kept out of ``repr``, logs and errors.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] | None = field(default=None, repr=False)
