"""The end of a connector by release_now() and kill_api(), in this order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from discomfort import ComfyConnector
from discomfort.config import load_settings
from discomfort.exceptions import ServerConnectionError


async def test_release_now_whose_client_does_not_close(caplog: pytest.LogCaptureFixture) -> None:
    """The converter is closed all the same, ``kill_api`` ends, and the log says what failed."""
    connector = ComfyConnector(load_settings(engine="emulator"))
    closed = []

    async def fail() -> None:
        raise ServerConnectionError("reset", url="http://x")

    async def close() -> None:
        closed.append(True)

    client, converter = SimpleNamespace(aclose=fail), SimpleNamespace(aclose=close)
    connector._shutdown._end_what_waits(cast(Any, client), cast(Any, converter))
    await connector.kill_api()

    assert closed == [True]
    assert connector.state == "killed"
    assert connector._shutdown._farewell is not None
    assert connector._shutdown._farewell.exception() is None
    assert "socket and HTTP' failed" in caplog.text
