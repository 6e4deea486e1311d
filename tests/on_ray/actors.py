"""Actors that show how Ray treats what runs in them.

They are plain classes: the tests decorate them, so that nothing imports Ray before it is needed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np

from discomfort.exceptions import RunTimeout, ServerStartError


class Waiter:
    """Its calls wait until another call lets them go on, and it tells what became of them."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen: list[str] = []

    def pid(self) -> int:
        return os.getpid()

    async def hold(self) -> str:
        self.seen.append("begun")
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        self.seen.append("done")
        return "result"

    async def let_go(self) -> None:
        self.open.set()

    async def what_happened(self) -> list[str]:
        return self.seen


class Counting:
    """Its call leaves a line in a file each time it begins, and does not end."""

    async def hold(self, begun: Path) -> None:
        with begun.open("a") as lines:
            lines.write(f"{os.getpid()}\n")
        await asyncio.Event().wait()

    async def pid(self) -> int:
        return os.getpid()


class Loops:
    """Tells in which event loop and thread its parts run."""

    async def __init__(self) -> None:  # type: ignore[misc]
        # A fact that only comes after an await: calls must not come before it.
        await asyncio.sleep(0)
        self.first = self._where()

    @staticmethod
    def _where() -> tuple[int, int]:
        return id(asyncio.get_running_loop()), threading.get_ident()

    async def of_init(self) -> tuple[int, int]:
        return self.first

    async def of_call(self) -> tuple[int, int]:
        return self._where()

    async def of_stream(self) -> AsyncIterator[tuple[int, int]]:
        yield self._where()


class Streamer:
    """Yields events and then a result, as a run does."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.ended: list[str] = []

    async def pid(self) -> int:
        return os.getpid()

    async def run(self, events: int) -> AsyncIterator[tuple[str, int]]:
        for number in range(events):
            yield "event", number
            await asyncio.sleep(0)
        yield "result", events

    async def fail(self) -> AsyncIterator[str]:
        yield "event"
        raise RunTimeout("it took too long", timeout=2.0, prompt_id="p-1")

    async def hold(self) -> AsyncIterator[str]:
        yield "event"
        await self.gate.wait()
        yield "late"
        self.ended.append("to the end")

    async def open(self) -> None:
        self.gate.set()

    async def ends(self) -> list[str]:
        return self.ended


class Ending:
    """Leaves a line in a file when Ray runs its shutdown hook."""

    def __init__(self, told: Path) -> None:
        self.told = told
        self.child = 0

    async def pid(self) -> int:
        return os.getpid()

    async def hold(self) -> None:
        await asyncio.Event().wait()

    async def start(self) -> tuple[int, int]:
        """A child in a session of its own, and a grandchild whose parent has ended."""
        program = [sys.executable, "-c", "import signal; signal.pause()"]
        child = subprocess.Popen(program, start_new_session=True)  # noqa: ASYNC220
        middle = (
            "import subprocess, sys\n"
            f"print(subprocess.Popen({program!r}, start_new_session=True, stdout=-3, stderr=-3).pid)"
        )
        told = subprocess.run([sys.executable, "-c", middle], check=True, capture_output=True)  # noqa: ASYNC221
        return child.pid, int(told.stdout)

    def __ray_shutdown__(self) -> None:
        self.told.write_text(threading.current_thread().name)


class EndingLater(Ending):
    """Its hook is a coroutine."""

    async def __ray_shutdown__(self) -> None:  # type: ignore[override]
        self.told.write_text("awaited")


class Failing:
    """Fails with errors of ours, at its start or in a call."""

    def __init__(self, *, at_start: bool) -> None:
        if at_start:
            raise _start_error()

    async def start(self) -> None:
        raise _start_error()

    async def run(self) -> None:
        raise RunTimeout("it took too long", timeout=2.0, prompt_id="p-1")


def _start_error() -> ServerStartError:
    return ServerStartError("no port is free", log_tail=("line 1", "line 2"))


class Values:
    """What arrives in an actor, and what it gives back."""

    async def facts(self, value: Any) -> tuple[str, int, bool | None]:
        return type(value).__name__, len(value), value.flags.writeable if isinstance(value, np.ndarray) else None

    async def give(self, value: Any) -> Any:
        return value

    async def refuses_to_write(self, value: np.ndarray) -> bool:
        try:
            value[0] = 1
        except ValueError:
            return True
        return False


class Placed:
    """Tells where Ray placed it and what it gave to it."""

    async def gpus(self) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    async def node(self) -> str:
        import ray

        return str(ray.get_runtime_context().get_node_id())
