"""A server with faults, from the test's side: how it is started, and how it is told what to do wrong."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import aiohttp
from contract.engines import NODES

from discomfort import ComfyConnector

PROGRAM = Path(__file__).with_name("faulty_server.py")


class Faulty:
    """The emulator of ``faulty_server.py``; ``settings`` are the arguments of ``create``."""

    def __init__(self, home: Path, switches: tuple[str, ...], rules: list[dict[str, Any]], port: int) -> None:
        command = [sys.executable, str(PROGRAM), *switches, "--rules", json.dumps(rules)]
        command += ["--base-directory", str(home), "--extra-nodes", str(NODES / "contract_nodes.py")]
        self.home = home
        self.settings: dict[str, Any] = {
            "engine": "emulator",
            "emulator_directory": home,
            "api_command_line": shlex.join(command),
            "initial_port": port,
            "browser": "lazy",
        }


class Control:
    """Tells a running faulty server what to do."""

    def __init__(self, connector: ComfyConnector) -> None:
        self._address = f"{connector.server_address}/matrix"

    async def _post(self, path: str, value: Any) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self._address}/{path}", json=value) as answer,
        ):
            return await answer.json()

    async def rules(self, *rules: dict[str, Any]) -> None:
        """From now on answer by these rules; requests that hang under the former ones go on."""
        await self._post("rules", list(rules))

    async def reached(self, count: int = 1) -> None:
        """Wait until a rule was applied ``count`` times since the rules were set."""
        await self._post("reached", count)

    async def stall(self, seconds: float) -> None:
        """Stop the server's event loop for a time."""
        await self._post("stall", seconds)

    async def end_worker(self, *, says_so: bool) -> None:
        """End what executes prompts; ``says_so`` with the line that Python writes for a thread that died."""
        await self._post("worker", says_so)

    async def exec_again(self) -> None:
        """Restart in the same process, on the same port, with an empty history."""
        try:
            await self._post("exec", None)
        except aiohttp.ClientError:
            return
