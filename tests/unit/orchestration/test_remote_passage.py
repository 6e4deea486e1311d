"""Runs on a server that has routes for values and shares no files, without a server: what is sent, fetched and left."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.orchestration.conftest import runner
from unit.orchestration.fake_worker import FakeWorker, node, picture, port

from discomfort.context.context import WorkflowContext
from discomfort.context.exchange import VARIABLE
from discomfort.exceptions import ConfigurationError, PortError, ServerConnectionError, ServerResponseError
from discomfort.nodes import server_values
from discomfort.nodes.value_folder import FolderLimits, ValueFolder
from discomfort.orchestration.token_check import check_token

INVERT = {"1": port("in"), "2": node("ImageInvert", image=["1", 0]), "3": port("out", ["2", 0])}
TOLD = {"version": 1, "sees": [], "remote": {"largest": 100_000_000, "piece": 1 << 20}}
LARGE = picture(shape=(1, 64, 64, 3))


class Values:
    """What a client does with the values of a server, straight in its folder. ``gate`` holds up what it waits for."""

    def __init__(self, folder: ValueFolder) -> None:
        self.folder = folder
        self.sent: list[str] = []
        self.fetched: list[str] = []
        self.failure: Exception | None = None
        self.gate, self.waiting = asyncio.Event(), asyncio.Event()
        self.held = ""

    async def send(self, digest: str, file: Path, piece: int) -> bool:
        await self._passed("send")
        if self.folder.has(digest):
            return False
        data = file.read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        (self.folder.path / digest).write_bytes(data)
        self.sent.append(digest)
        return True

    async def fetch(self, digest: str, size: int, write: Any) -> None:
        data = (self.folder.path / digest).read_bytes()
        write(data[:100])
        await self._passed("fetch")
        write(data[100:])
        self.fetched.append(digest)

    async def _passed(self, direction: str) -> None:
        if self.held == direction:
            self.waiting.set()
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure


@pytest.fixture
def values(places: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Values:
    """The values of a server whose nodes see no folder of ours."""
    monkeypatch.delenv(VARIABLE)
    path = tmp_path / "values"
    path.mkdir()
    folder = ValueFolder(path, FolderLimits())
    monkeypatch.setattr(server_values, "offered_folder", lambda: folder)
    return Values(folder)


@pytest.fixture
def remote(values: Values) -> FakeWorker:
    made = FakeWorker("attached", TOLD)
    made.values = values
    return made


@pytest.fixture
def context(values: Values) -> Iterator[WorkflowContext]:
    with WorkflowContext() as made:
        yield made


def files(context: WorkflowContext) -> set[str]:
    """The files of a context, in memory and on disk."""
    with context._view() as view:
        storage = view.storage
        folders = [storage.home] if storage.memory_folder is None else [storage.home, storage.memory_folder]
    return {path.name for folder in folders for path in folder.iterdir()} - {"owner", "receipts.json"}


async def test_values_pass(remote: FakeWorker, values: Values, context: WorkflowContext) -> None:
    """There and back exactly; sent once; what came back need not be sent; the server's cache knows equal values."""
    run = runner(remote)
    results = await run(INVERT, {"in": LARGE}, context=context)
    assert np.array_equal(np.asarray(results["out"]), 1 - LARGE)
    again = await run(INVERT, {"in": LARGE.copy()}, context=context)
    await run(INVERT, {"in": again["out"]}, context=context)
    assert len(values.sent) == 1
    digests = [each["1"]["inputs"]["digest"] for each in remote.sent]
    assert digests[0] == digests[1] == values.sent[0]
    assert digests[2] == values.fetched[0]


async def test_largest_value(remote: FakeWorker, context: WorkflowContext) -> None:
    """One that the server does not take is refused before anything is sent, with the remedy."""
    hidden = remote.definitions["DiscomfortContextLoader"]["input"]["hidden"]
    hidden["discomfort"] = ("DISCOMFORT", {"default": {**TOLD, "remote": {"largest": 1000, "piece": 10}}})
    with pytest.raises(PortError, match=r"'in' has 0\.\d MB.*DISCOMFORT_LARGEST_VALUE_GB"):
        await runner(remote)(INVERT, {"in": LARGE}, context=context)
    assert remote.sent == []


@pytest.mark.parametrize("blow", [
    None, ServerConnectionError("it broke", url="http://x"),
    ServerResponseError("no room", method="PUT", url="http://x", status=507),
], ids=["cancelled", "server", "full"])  # fmt: skip
@pytest.mark.parametrize("direction", ["send", "fetch"])
async def test_ends(
    remote: FakeWorker, values: Values, context: WorkflowContext, direction: str, blow: Exception | None
) -> None:
    """A transfer that ends early leaves no file here and no variable; the next run works."""
    run = runner(remote)
    context.save("in", LARGE)
    before = files(context)
    values.held, values.failure = direction, blow
    task = asyncio.create_task(run(INVERT, context=context))
    await asyncio.wait([task, asyncio.create_task(values.waiting.wait())], return_when=asyncio.FIRST_COMPLETED)
    if blow is None:
        task.cancel()
    else:
        values.gate.set()
    with pytest.raises(asyncio.CancelledError if blow is None else type(blow)):
        await task

    assert files(context) == before
    assert context.list_keys() == ["in"]
    values.held = ""
    assert np.array_equal(np.asarray((await run(INVERT, context=context))["out"]), 1 - LARGE)


async def test_token_check(values: Values, caplog: pytest.LogCaptureFixture) -> None:
    """A token of no use is an error where it was given, and else a warning; without one nothing is asked."""
    plain = FakeWorker("attached", {"version": 1, "sees": []})
    await check_token(plain, is_demanded=True)
    plain.values = values
    with pytest.raises(ConfigurationError, match="no routes for values.*set DISCOMFORT_TOKEN in its environment"):
        await check_token(plain, is_demanded=True)
    del plain.definitions["DiscomfortContextLoader"]
    caplog.set_level(logging.WARNING)
    await check_token(plain, is_demanded=False)
    assert "the server does not have our nodes" in caplog.text


async def test_no_token(remote: FakeWorker, context: WorkflowContext, caplog: pytest.LogCaptureFixture) -> None:
    """The log says, once, what it would give."""
    remote.values = None
    run = runner(remote)
    adds = {"1": port("n"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("sum", ["2", 0])}
    for _ in range(2):
        await run(adds, {"n": 1}, context=context, rules={"INT": "ref"})
    assert caplog.text.count("attach() did not get the DISCOMFORT_TOKEN of the server") == 1
