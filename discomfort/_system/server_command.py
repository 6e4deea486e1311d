"""The command line of a server, which discovery gives to the launcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """A command line that opens a port.

    ``argv`` is given to the system as it stands, never to a shell. ``cwd`` is the folder it starts in. ``env`` is its
    whole environment, ``None`` for ours; it may hold secrets and is kept out of ``repr``, logs and errors.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] | None = field(default=None, repr=False)
