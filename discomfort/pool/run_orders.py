"""Orders that a pool gives to a server, and the records that come back: plain data, which may go to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort._json import JsonObject
from discomfort.client.artifact import Artifact
from discomfort.history import History


@dataclass(frozen=True, slots=True)
class PoolOrder:
    """A prompt to run. Its files go to a folder of its own in ``folder``; without one they come back in memory.

    ``timeout`` is in seconds, from now on.
    """

    run_id: str
    prompt: JsonObject = field(repr=False)
    timeout: float | None = None
    extra_data: Mapping[str, Any] | None = field(default=None, repr=False)
    allow_paid: bool | None = None
    api_key: str | None = field(default=None, repr=False)
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run gave: ComfyUI's record, and every output with its content."""

    history: History = field(repr=False)
    artifacts: tuple[Artifact, ...] = field(repr=False)

    @property
    def prompt_id(self) -> str:
        """The prompt's id on the server."""
        return next(iter(self.history), "")
