"""Settings that change the server's process: its arguments, its variables, its time to start and to stop."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import NODES, emulator_home, private_environment
from contract.graphs import show_prompt, texts_of
from ports import first_port

from discomfort import ComfyConnector
from discomfort.exceptions import ServerStartError, ServerStartTimeout, StateError

Create = Callable[..., Awaitable[ComfyConnector]]
PORT = first_port(19650)


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path) -> Iterator[None]:
    """Journals of the test's own."""
    with private_environment(tmp_path / "private"):
        yield


@pytest.fixture
async def create() -> AsyncIterator[Create]:
    """Starts a connector without a browser; it is released at the end."""
    made: list[ComfyConnector] = []

    async def start(**settings: Any) -> ComfyConnector:
        made.append(await ComfyConnector.create(browser="lazy", initial_port=PORT, **settings))
        return made[-1]

    yield start
    for connector in made:
        await connector.kill_api()


def process_of(connector: ComfyConnector) -> psutil.Process:
    """The server's process."""
    assert connector._parts.supervisor is not None
    return psutil.Process(connector._parts.supervisor.pid)


async def test_arguments_and_variables_reach_the_server(
    create: Create, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are the server's alone, also after a restart; the values of variables are shown nowhere."""
    caplog.set_level(logging.DEBUG)
    added = {"HF_TOKEN": "hunter2-and-more", "MODE": "some value"}
    settings = {"engine": "emulator", "server_arguments": ["--extra-nodes", str(NODES / "contract_nodes.py")]}
    connector = await create(**settings, environment=added, emulator_directory=tmp_path / "a folder")
    for value in (5, 6):
        assert texts_of(await connector.run_workflow(show_prompt(value), False)) == [str(value)]
        process = process_of(connector)
        assert {name: process.environ().get(name) for name in added} == added
        assert process.cmdline()[5:8] == ["127.0.0.1", "--extra-nodes", str(NODES / "contract_nodes.py")]
        process.kill()
        await connector._parts.supervisor.wait()  # type: ignore[union-attr]
    report = json.dumps(await connector.diagnostics())

    assert not set(added) & set(os.environ)
    shown = report + caplog.text + repr(connector) + repr(vars(connector._parts))
    assert [value for value in added.values() if value in shown] == []
    assert '"HF_TOKEN": "***"' in report
    assert await create(**settings, environment=dict(added), emulator_directory=tmp_path / "a folder") is connector
    with pytest.raises(StateError, match="another configuration"):
        await create(**settings, environment={**added, "MODE": "other"}, emulator_directory=tmp_path / "a folder")


@pytest.mark.parametrize("line", ["python3 -m discomfort serve", "discomfort serve", "python -m comfyui_emulator"])
async def test_emulator_by_command_line(create: Create, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """It is told, and found though the path has neither Python nor the command."""
    monkeypatch.setenv("PATH", "/nowhere")
    connector = await create(api_command_line=line, server_arguments="--multi-user")

    assert connector.engine == "emulator"
    assert "--multi-user" in process_of(connector).cmdline()
    assert connector.output_directory is not None
    assert connector.upload_data(__file__).startswith(str(connector.output_directory.parent))


async def test_start_timeout(create: Create) -> None:
    """A server that does not answer in time is ended; the error names the seconds and the setting."""
    with pytest.raises(ServerStartTimeout, match=r"within 0\.5 s.*START_TIMEOUT"):
        await create(engine="emulator", server_arguments="--fault never_listen=1", start_timeout=0.5)

    assert ComfyConnector.current() is None


async def test_argument_that_the_server_does_not_know(create: Create) -> None:
    """The error names it, and the setting that it may come from."""
    with pytest.raises(ServerStartError, match=r"unrecognized arguments: --turbo.*SERVER_ARGUMENTS"):
        await create(engine="emulator", server_arguments="--turbo")


async def test_arguments_with_spaces(create: Create, tmp_path: Path) -> None:
    """Words reach the server as they are, in whichever form they were given."""
    home = emulator_home(tmp_path / "home", initial_port=PORT)
    place = tmp_path / "my outputs"
    connector = await create(
        api_command_line=home.settings["api_command_line"],
        server_arguments=f"--output-directory {shlex.quote(str(place))}",
    )

    assert connector.engine == "emulator"
    assert connector.output_directory == place
    assert place.is_dir()
