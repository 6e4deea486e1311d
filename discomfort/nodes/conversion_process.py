"""Conversion of a workflow of the UI by ``discomfort convert``, in a process of its own, attached to this very server.

ComfyUI's Python need not have the library: a client that starts a server names its own in the environment. The process
only reads from the server, whose event loop is free while a node waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

from .._json_objects import JsonObject
from ..context.exchange import PYTHON
from ..exceptions import ConversionError, ConversionTimeout
from .workflow_files import WorkflowFile

SECONDS = 180.0
"""How long a conversion may take. The first one on a machine loads the frontend into a browser."""
_LOOK = 0.2
"""Seconds between two looks whether somebody stopped the run."""
_GRACE = 10.0
_SHOWN = 600


async def converted(file: WorkflowFile, url: str, library: Path, check_interrupted: Callable[[], None]) -> JsonObject:
    """The prompt of a workflow that the UI saved.

    ``library`` is the folder from which the process imports ``discomfort``; ``check_interrupted`` raises when somebody
    stopped the run, which ends the process. Raises ConversionError, with the remedy.
    """
    python = os.environ.get(PYTHON) or sys.executable
    folders = [str(library), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", "discomfort", "convert", "-", "--attach", url),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        )
    except OSError as error:
        raise ConversionError(f"{python} cannot be started: {error}. {_remedy(file.name)}") from error
    out, problem = await _answer(process, file, check_interrupted)
    if process.returncode:
        last = problem.decode(errors="replace").strip()[-_SHOWN:]
        remedy = f". {_remedy(file.name)}" if "No module named" in last else ""
        raise ConversionError(f"{file.name} could not be converted by {python}: {last}{remedy}")
    try:
        prompt = json.loads(out)
    except ValueError as error:
        raise ConversionError(f"{file.name} could not be converted: {python} gave no prompt") from error
    if not isinstance(prompt, dict):
        raise ConversionError(f"{file.name} could not be converted: {python} gave no prompt")
    return prompt


async def _answer(process: Process, file: WorkflowFile, check_interrupted: Callable[[], None]) -> tuple[bytes, bytes]:
    talk = asyncio.ensure_future(process.communicate(file.data))
    latest = time.monotonic() + SECONDS
    try:
        while not (await asyncio.wait([talk], timeout=_LOOK))[0]:
            check_interrupted()
            if time.monotonic() > latest:
                raise ConversionTimeout(f"{file.name} was not converted within {SECONDS:.0f} seconds")
        return talk.result()
    finally:
        await _ended(process, talk)


async def _ended(process: Process, talk: asyncio.Future[tuple[bytes, bytes]]) -> None:
    """End the process, which ends its browser first."""
    for end in (process.terminate, process.kill):
        if talk.done():
            return
        with contextlib.suppress(ProcessLookupError):
            end()
        await asyncio.wait([talk], timeout=_GRACE)
    talk.cancel()


def _remedy(name: str) -> str:
    return (
        f"To run {name}, save it in API format; or install discomfort in a Python environment of its own and name its "
        f"interpreter in the variable {PYTHON} of ComfyUI's environment"
    )
