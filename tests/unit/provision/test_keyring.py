"""Tokens of the keyring: asked after the environment, once for each host; an error of it ends no download."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio
from unit.provision.file_host import FileHost
from unit.provision.provide_site import StandInServer, model, plan, provide
from yarl import URL

from discomfort.provision import host_tokens
from discomfort.provision.host_tokens import HostTokens

SECRET = "token_of_the_keyring"


class Keyring(ModuleType):
    """Stands in for the package: ``passwords`` by host, or something that raises or waits in their place."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.passwords: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.gate: threading.Event | None = None

    def get_password(self, service: str, name: str) -> Any:
        self.asked.append((service, name))
        if self.gate is not None:
            self.gate.wait(60)
        if self.error is not None:
            raise self.error
        return self.passwords.get(name)


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    made = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", made)
    return made


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with FileHost(b"weights" * 1000) as made:
        yield made


async def test_the_token_of_a_host(keyring: Keyring, host: FileHost, tmp_path: Any) -> None:
    """It is kept under the service ``discomfort`` with the host as name, and goes with the request."""
    keyring.passwords = {"127.0.0.1": SECRET}

    await provide(StandInServer(tmp_path), plan(model(host.url()), model(host.url(), name="b.safetensors")))

    assert {asked.headers.get("authorization") for asked in host.asked} == {f"Bearer {SECRET}"}
    assert keyring.asked == [("discomfort", "127.0.0.1")]


async def test_the_keyring_comes_last(keyring: Keyring) -> None:
    """It may ask its owner to unlock it, so it is only asked if nothing else has a token."""
    keyring.passwords = {"models.example.com": SECRET, "huggingface.co": SECRET}
    tokens = HostTokens({"models.example.com": "given"}, {"HF_TOKEN": "environment"})

    assert await tokens.for_url(URL("https://models.example.com/x")) == "given"
    assert await tokens.for_url(URL("https://huggingface.co/x")) == "environment"
    assert await tokens.for_url(URL("http://plain.example.com/x")) is None
    assert keyring.asked == []
    assert await HostTokens({}, {}).for_url(URL("https://HUGGINGFACE.co./x")) == SECRET


@pytest.mark.parametrize("password", [None, "", "two\nlines", "späße", b"bytes", 5])
async def test_passwords_that_are_no_token(keyring: Keyring, password: Any) -> None:
    """What no header may have is not sent."""
    keyring.passwords = {"example.com": password}

    assert await HostTokens({}, {}).for_url(URL("https://example.com/x")) is None


async def test_a_keyring_that_fails(keyring: Keyring, caplog: pytest.LogCaptureFixture) -> None:
    """A locked one, or one without a backend, counts as none; its error is not told, since it may have the secret."""
    caplog.set_level(logging.DEBUG)
    keyring.error = RuntimeError(f"locked {SECRET}")

    assert await HostTokens({}, {}).for_url(URL("https://example.com/x")) is None
    assert SECRET not in caplog.text


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not required."""
    monkeypatch.setitem(sys.modules, "keyring", None)

    assert await HostTokens({}, {}).for_url(URL("https://example.com/x")) is None


async def test_a_keyring_that_waits_for_its_owner(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody may be there to unlock it, so the download goes on without a token, and says so."""
    monkeypatch.setattr(host_tokens, "_KEYRING_SECONDS", 0.05)
    keyring.gate = threading.Event()

    token = await asyncio.wait_for(HostTokens({}, {}).for_url(URL("https://example.com/x")), 30)
    keyring.gate.set()

    assert token is None
    assert "no token for example.com" in caplog.text
