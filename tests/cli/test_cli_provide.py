"""``discomfort provide`` with a fake connector and files on loopback: it shows, asks, and fetches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cli.conftest import Cli
from cli.fakes_cli import FakeConnector, workflow, write
from unit.provision.provide_site import NAME, StandInServer, model, plan, provide

from discomfort.cli import provide_command
from discomfort.cli.inputs import read_sources
from discomfort.cli.provide_command import ProvideCommandOptions
from discomfort.cli.terminal import Terminal


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """The address of a file."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / NAME).write_bytes(b"weights" * 1000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "host")))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{NAME}"
    server.shutdown()
    thread.join()
    server.server_close()


class Providing(FakeConnector):
    """Plans lack one model, at ``url``; what is provided goes to ``server``."""

    def __init__(self, server: StandInServer, url: str | None) -> None:
        super().__init__()
        self.server, self.url = server, url

    async def plan(self, payload: Any, values: Any) -> Any:
        self.calls.append(("plan", values))
        return plan(model(self.url))

    async def provide(self, needed: Any, **options: Any) -> Any:
        self.calls.append(("provide", options))
        seen: list[Any] = []
        on_progress = options.pop("on_progress")
        try:
            return await provide(self.server, needed, seen=seen, **{**options, "allow_private": True})
        finally:
            for event in seen:
                on_progress(event)


@pytest.fixture
def target(cli: Cli, host: str, tmp_path: Path) -> Path:
    """Where the model goes; the connector of the command line lacks it."""
    server = StandInServer(tmp_path / "home")
    cli.connector = Providing(server, host)
    return server.models / "checkpoints" / NAME


def test_yes_fetches(cli: Cli, target: Path, tmp_path: Path) -> None:
    """What was fetched is on stdout, progress on stderr, and the code is 0."""
    name = write(tmp_path / "a.json", workflow("Text"))

    assert cli("provide", "--yes", "--set", "Text.text=x", "--timeout", "60", "--reserve", "2", name) == 0

    assert cli.out == f"fetched: checkpoints/{NAME} ({target}, 7.0 kB)\n"
    assert f"checkpoints/{NAME}: done" in cli.err
    assert target.read_bytes() == b"weights" * 1000
    assert cli.connector.calls[0] == ("plan", {"Text.text": "x"})
    assert (cli.connector.calls[1][1]["timeout"], cli.connector.calls[1][1]["reserve"]) == (60, 2_000_000)


def test_without_yes_and_terminal_nothing_happens(cli: Cli, target: Path, tmp_path: Path) -> None:
    """The error shows what would be fetched and names --yes; the code is 1."""
    assert cli("provide", write(tmp_path / "a.json", workflow("Text"))) == 1

    assert "nobody agreed" in cli.err
    assert str(target) in cli.err
    assert "--yes" in cli.err
    assert not target.exists()


def test_a_dry_run_shows(cli: Cli, target: Path, tmp_path: Path) -> None:
    """On stdout, with host and target; something is still missing, so the code is 1."""
    assert cli("provide", "--dry-run", write(tmp_path / "a.json", workflow("Text"))) == 1

    assert "from 127.0.0.1" in cli.out
    assert str(target) in cli.out
    assert not target.exists()


def test_json(cli: Cli, target: Path, tmp_path: Path) -> None:
    """One document, with items, proposal and error."""
    name = write(tmp_path / "a.json", workflow("Text"))

    assert cli("provide", "--json", "--yes", name) == 0

    document = json.loads(cli.out)
    assert (document["workflow"], document["complete"], document["error"]) == (name, True, None)
    assert document["items"][0] | {"path": None} == {
        "kind": "model", "name": f"checkpoints/{NAME}", "outcome": "fetched", "size": 7000, "path": None,
        "reason": None, "error": None,
    }  # fmt: skip
    assert document["proposal"]["models"][0]["host"] == "127.0.0.1"


def test_what_fails_is_reported(cli: Cli, target: Path, tmp_path: Path) -> None:
    """The report is on stdout, the error on stderr, and the code is 1."""
    target.write_bytes(b"mine")
    assert isinstance(cli.connector, Providing)
    cli.connector.url = str(cli.connector.url) + "x"

    assert cli("provide", "--yes", write(tmp_path / "a.json", workflow("Text"))) == 0
    target.unlink()
    assert cli("provide", "--yes", write(tmp_path / "a.json", workflow("Text"))) == 1

    assert cli.out.startswith(f"failed: checkpoints/{NAME}")
    assert "nothing at its address" in cli.err


@pytest.mark.parametrize("answer", [True, False])
def test_the_question(cli: Cli, target: Path, tmp_path: Path, answer: bool) -> None:
    """The proposal is shown before the question, and the answer counts."""
    asked: list[str] = []
    sources = read_sources([write(tmp_path / "a.json", workflow("Text"))])

    def ask(question: str) -> bool:
        asked.append(question)
        return answer

    code = provide_command.provide_command(ProvideCommandOptions(sources=sources), Terminal(), ask=ask)

    assert (code, len(asked), target.exists()) == (0 if answer else 1, 1, answer)


def test_what_cannot_be_fetched(cli: Cli, target: Path, tmp_path: Path) -> None:
    """It is named with the reason, and the code is 1."""
    assert isinstance(cli.connector, Providing)
    cli.connector.url = None

    assert cli("provide", write(tmp_path / "a.json", workflow("Text"))) == 1

    assert cli.out.startswith(f"impossible: checkpoints/{NAME}: no address is known")
