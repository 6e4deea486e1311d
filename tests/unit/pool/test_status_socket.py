"""What a pool tells other processes of its status, and what is left of that when it ends in any way."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unit.pool.fake_pool_server import SHOW, FakePoolServer, Gate, fake_pool, text_of

from discomfort._system.local_sockets import read_all
from discomfort.pool.status_socket import ToldPool, described, running_pools

PROGRAM = Path(__file__).with_name("status_program.py")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own, with a path that no socket may have."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def found() -> list[ToldPool]:
    """The pools that another program would see."""
    return await asyncio.to_thread(running_pools)


@contextmanager
def other_program(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that has a pool."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, PROGRAM], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def test_a_pool_is_told(temporary: Path) -> None:
    """With its servers and runs as its status has them, without credentials; nothing is left when it is closed."""
    gate = Gate()
    async with await fake_pool(FakePoolServer("a", gate)) as pool:
        run = await pool.submit(SHOW, {"1.value": 5}, tenant="acme")
        await asyncio.to_thread(gate.reached.wait, 30)
        (told,) = await found()
        assert (told.pid, told.problem) == (os.getpid(), "")
        assert told.status is not None
        assert told.status["servers"][0]["run_id"] == run.run_id
        assert told.status["tenants"][0]["name"] == "acme"
        assert told.status["running"] == 1
        assert told.status["servers"][0]["url"] == "http://127.0.0.1:1"
        assert "secret" not in json.dumps(told.status)
        assert told.status.keys() == pool.status().to_dict().keys() == described(pool.status())["status"].keys()
        gate.opened.set()
        assert text_of(await run) == "5"
    assert await found() == []
    assert list(temporary.iterdir()) == []


async def test_only_this_user_can_ask(temporary: Path) -> None:
    """The folder of the socket, and those above it, are closed to others."""
    async with await fake_pool(FakePoolServer()):
        folders = [path for path in temporary.rglob("*") if path.is_dir()]
        assert len(folders) == 3
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


async def test_several_pools_of_a_process() -> None:
    """Each has a socket of its own."""
    async with await fake_pool(FakePoolServer("a")), await fake_pool(FakePoolServer("b")):
        names = [told.status["servers"][0]["name"] for told in await found() if told.status]
        assert sorted(names) == ["a", "b"]


async def test_release_now_removes_it(temporary: Path) -> None:
    """Also when no loop runs any more."""
    pool = await fake_pool(FakePoolServer())
    await asyncio.to_thread(pool.release_now)
    assert list(temporary.iterdir()) == []
    await pool.aclose()


async def test_a_pool_that_could_not_be_made_leaves_nothing(temporary: Path) -> None:
    """The socket comes last, and goes with the rest."""

    class Broken(FakePoolServer):
        async def start(self) -> None:
            raise OSError("no server today")

    with pytest.raises(OSError, match="no server today"):
        await fake_pool(Broken())
    assert list(temporary.iterdir()) == []


async def test_without_a_folder_the_pool_works(temporary: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It only cannot be shown."""
    temporary.rmdir()
    with caplog.at_level(logging.DEBUG, "discomfort.pool"):
        async with await fake_pool(FakePoolServer()) as pool:
            assert text_of(await (await pool.submit(SHOW, {"1.value": 5}))) == "5"
            assert await found() == []
    assert "cannot show this pool" in caplog.text
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_reader_that_leaves_does_no_harm() -> None:
    """It asks again, and so do others."""
    async with await fake_pool(FakePoolServer()) as pool:
        assert pool._told._folder is not None
        for _ in range(3):
            with pytest.raises(OSError, match="longer than 5 bytes"):
                await asyncio.to_thread(read_all, pool._told._folder.path, "status", seconds=30, limit=5)
        assert len(await found()) == 1


async def test_a_blocked_pool_is_named() -> None:
    """Whoever asks does not wait for a program that does not answer, and is told so."""
    async with await fake_pool(FakePoolServer()):
        (told,) = running_pools()  # its loop stands still meanwhile
    assert told.status is None
    assert "does not answer within 2 s" in told.problem


def test_a_killed_program(temporary: Path) -> None:
    """It is seen while it lives; after kill -9 its folder is not told any more, and goes with the next look."""
    with other_program(temporary) as process:
        (told,) = running_pools()
        assert told.pid == process.pid
        assert told.program == "status_program.py"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any(temporary.rglob("status"))
    assert running_pools() == []
    assert list(temporary.iterdir()) == []


def test_a_killed_program_and_the_next_pool(temporary: Path) -> None:
    """The start of a pool removes what dead ones have left."""
    with other_program(temporary) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (left,) = temporary.rglob("status")

    async def next_pool() -> None:
        async with await fake_pool(FakePoolServer()):
            assert not left.exists()

    asyncio.run(next_pool())
    assert list(temporary.iterdir()) == []
