"""The files of ``--input``, which go to the server's input folder before the first run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from discomfort._system.concurrency import to_thread
from discomfort.cli.connect import ServerTarget
from discomfort.cli.progress_bars import Display
from discomfort.cli.terminal import Terminal

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector


async def upload_inputs(
    connector: ComfyConnector,
    paths: Sequence[Path],
    target: ServerTarget,
    terminal: Terminal,
    display: Display,
    *,
    is_kept: bool = False,
) -> None:
    """Upload every file; it stays if ``is_kept``, or on an attached server. Raises OSError, UploadError."""
    for path in paths:
        display.phase(f"uploading {path.name}")
        # Files on an attached server cannot be deleted, so uploads to it remain.
        ephemeral = target.attach is None and not is_kept
        stored = await to_thread(connector.upload_data, path, "input", is_ephemeral=ephemeral)
        name = Path(stored).name
        if name != path.name:
            terminal.warn(f"{path.name} was stored as {name} on the server: --set its node's input to that name")
