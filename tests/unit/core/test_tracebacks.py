"""What a program's user sees of an uncaught error: its text once, cause and remedy last, none of our frames."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ports import first_port

import discomfort
from discomfort._tracebacks import FramelessBlock, HiddenFrames, without_frames
from discomfort.exceptions import InputSelectorError, ServerError, StateError
from discomfort.workflow.edit import Editor

PACKAGE = str(Path(discomfort.__file__).parent)
CAUSE = "PyTorch finds no usable GPU"

SERVER = """
import sys
print("Total VRAM 0 MB", flush=True)
print("RuntimeError: Found no NVIDIA driver on your system.", flush=True)
print("a warning that comes last", flush=True)
sys.exit(1)
"""
ASYNC = """
import asyncio, sys
from discomfort import ComfyConnector

async def main():
    async with await ComfyConnector.create(api_command_line=f"{sys.executable} server.py", browser="lazy"):
        pass

asyncio.run(main())
"""
SYNC = """
import sys
from discomfort import SyncConnector

SyncConnector.create(api_command_line=f"{sys.executable} server.py", browser="lazy")
"""
SELECTOR = """
from discomfort import Editor

Editor({"1": {"class_type": "A", "inputs": {"text": ""}}}).set("B.text", 1)
"""
ATTACH = """
import asyncio
from discomfort import ComfyConnector

asyncio.run(ComfyConnector.attach("http://127.0.0.1:9", browser="lazy"))
"""


def uncaught(tmp_path: Path, program: str) -> str:
    """What a program that ends by an error writes to stderr."""
    (tmp_path / "server.py").write_text(SERVER)
    script = tmp_path / "program.py"
    script.write_text(program)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMFYUI_", "DISCOMFORT_"))}
    environ = kept | {"PYTHONPATH": str(Path(PACKAGE).parent), "HOME": str(tmp_path)}
    argv = [sys.executable, str(script)]
    done = subprocess.run(argv, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def frames_of_ours(text: str) -> list[str]:
    """The lines of a traceback that are inside the library."""
    return [line for line in re.findall(r"^\s+\| *File .*|^\s*File .*", text, re.MULTILINE) if PACKAGE in line]


@pytest.mark.parametrize(("program", "frames"), [(ASYNC, 0), (SYNC, 3)], ids=["async", "sync"])
def test_a_failed_start_is_printed_once(tmp_path: Path, program: str, frames: int) -> None:
    """The program's own line, then the log, then cause and remedy at the very end."""
    text = uncaught(tmp_path, program)

    assert text.count(CAUSE) == 1
    assert text.count("a warning that comes last") == 1
    assert text.index("a warning that comes last") < text.index(CAUSE)
    assert text.rstrip().splitlines()[-1].endswith("Set SERVER_ARGUMENTS to --cpu to run without one")
    assert text.count("Traceback (most recent call last)") == 1
    assert "ExceptionGroup" not in text
    assert len(frames_of_ours(text)) <= frames
    assert "program.py" in text


@pytest.mark.parametrize(
    ("program", "told"), [(SELECTOR, "there is no node 'B'"), (ATTACH, "no ComfyUI answers")], ids=["editor", "attach"]
)
def test_other_errors_have_no_frames_of_ours(tmp_path: Path, program: str, told: str) -> None:
    """Whatever the call, the last frame is the program's."""
    text = uncaught(tmp_path, program)

    assert text.count(told) == 1
    assert frames_of_ours(text) == []


def test_frames_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Who works on the library finds them at level DEBUG."""
    with caplog.at_level(logging.DEBUG, "discomfort._tracebacks"), pytest.raises(InputSelectorError):
        Editor({"1": {"class_type": "A", "inputs": {}}}).set("B.text", 1)

    assert "selectors.py" in caplog.text


def lines_of(error: BaseException) -> str:
    """The traceback as it is printed."""
    return "".join(traceback.format_exception(error))


def test_causes_lose_their_frames_too() -> None:
    """A cause stays as a fact; a chain that contains itself is not a problem."""

    def deep() -> None:
        raise OSError("deep reason")

    @without_frames
    def call() -> None:
        try:
            deep()
        except OSError as error:
            raise ServerError("wrong") from error

    with pytest.raises(ServerError) as caught:
        call()

    assert str(caught.value.__cause__) == "deep reason"
    assert "in deep" not in lines_of(caught.value)
    caught.value.__cause__ = caught.value
    with pytest.raises(ServerError), HiddenFrames():
        raise caught.value


def test_errors_of_others_keep_their_frames() -> None:
    """A bug of ours, or an error of the program's own code, is shown whole."""

    @without_frames
    def call() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug") as caught:
        call()

    assert "in call" in lines_of(caught.value)


async def test_blocks_of_calls() -> None:
    """A block that ends by its own error, by another one, or without any."""

    @asynccontextmanager
    async def block(error: Exception | None) -> AsyncIterator[int]:
        try:
            yield 5
        finally:
            if error is not None:
                raise error

    async def call(own: Exception | None, other: Exception | None) -> int:
        async with FramelessBlock(block(other)) as value:
            await asyncio.sleep(0)
            if own is not None:
                raise own
            return value

    assert await call(None, None) == 5
    with pytest.raises(ServerError) as caught:
        await call(ServerError("own"), None)
    assert "in call" not in lines_of(caught.value)
    with pytest.raises(StateError):
        await call(None, StateError("ended"))


async def test_a_cancelled_call_shows_the_programs_line() -> None:
    """Ctrl-C prints the cancellation above the KeyboardInterrupt: fifty lines, most of them ours."""

    async def deep() -> None:
        await asyncio.Event().wait()

    @without_frames
    async def call() -> None:
        await deep()

    async def program() -> None:
        await call()

    task = asyncio.create_task(program())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task

    assert "in program" in lines_of(caught.value)
    assert "in deep" not in lines_of(caught.value)


RUNS = """
import asyncio, traceback
from discomfort import ComfyConnector

PROMPT = {"1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
          "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}

async def main():
    async with await ComfyConnector.launch(engine="emulator", browser="lazy", initial_port=PORT) as connector:
        async def submit():
            await (await connector.submit(PROMPT))
        calls = (lambda: connector.run_workflow(PROMPT, False), submit, lambda: connector.run(PROMPT),
                 lambda: connector.find("nowhere"), lambda: connector.explain(PROMPT))
        for call in calls:
            try:
                await call()
            except Exception as error:
                traceback.print_exception(error)
    raise SystemExit(1)

asyncio.run(main())
"""


def test_failed_runs_have_no_frames_of_ours(tmp_path: Path) -> None:
    """However a run is started or found, its error is printed once, with the program's own line."""
    text = uncaught(tmp_path, RUNS.replace("PORT", str(first_port(19700))))

    assert frames_of_ours(text) == []
    assert text.count("Upload 'photo.png' first") == 3
    assert text.count("Traceback (most recent call last)") == 5
