"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.fakes_cli import FakeConnector

from discomfort.cli import connect, main


class Cli:
    """Runs the command line with a fake connector and keeps what came of it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.connector = FakeConnector()
        self.opened: list[connect.ServerTarget] = []
        self.on_open: Callable[[], None] = lambda: None
        self.out = self.err = ""

    async def open(self, target: connect.ServerTarget) -> Any:
        """What stands in for starting a server."""
        self.opened.append(target)
        self.on_open()
        return self.connector

    def __call__(self, *arguments: str | Path) -> int:
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command line in an empty folder and an environment without settings."""
    made = Cli(capsys)
    monkeypatch.setattr(connect, "open_connector", made.open)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("COMFYUI_PATH", "DISCOMFORT_CONFIG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return made
