"""The thread that empties the pipe: all that was written, and no longer than needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from waiting import until_blocking

from discomfort.server import output_pump
from discomfort.server.output_pump import Pump

_CODE = """
import os, sys
os.write(1, b"a" * 50_000)
if os.fork() == 0:
    while True:
        os.write(1, b"b" * 10_000)
os.write(1, b"end")
"""


@pytest.fixture
def flooded() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended, whose child floods the pipe that it inherited."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE], stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    )
    yield process
    os.killpg(process.pid, 9)
    process.wait()


def test_a_relative_that_floods_the_pipe_does_not_hold_up_the_end(
    flooded: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is read for a bounded time, then the pipe is closed."""
    monkeypatch.setattr(output_pump, "_FINAL_SECONDS", 0.05)
    chunks: list[bytes] = []
    pump = Pump(flooded, chunks.append)
    pump.start()
    until_blocking(lambda: b"end" in b"".join(chunks[:50]))
    pump.close(timeout=20)
    pump.close(timeout=20)

    assert chunks[0].startswith(b"a")
    assert not pump._thread.is_alive()
    assert flooded.stdout is not None
    assert flooded.stdout.closed


def test_what_was_written_before_the_end_is_read() -> None:
    """Output that waits in the pipe at the time of the end is not lost."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "print('last words')"], stdout=subprocess.PIPE)
    process.wait()
    chunks: list[bytes] = []
    pump = Pump(process, chunks.append)
    pump.start()
    pump.close(timeout=20)

    assert b"".join(chunks) == b"last words\n"


def test_a_copy_of_the_wake_up_pipe() -> None:
    """A forked child that holds our end of it does not keep the thread from its end."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    pump = Pump(process, lambda _: None)
    copy = os.dup(pump._wake_write)  # as a child of os.fork() has it
    try:
        pump.start()
        pump.close(timeout=20)
        assert not pump._thread.is_alive()
        assert process.stdout is not None
        assert process.stdout.closed
    finally:
        os.close(copy)
        process.communicate()


def test_a_pipe_is_needed() -> None:
    """A process without one is a mistake of ours."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    with pytest.raises(AssertionError):
        Pump(process, print)


def test_the_rest_of_a_quiet_pipe_that_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative that holds the pipe open and is silent costs no time."""
    monkeypatch.setattr(output_pump, "_FINAL_SECONDS", 600)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "print('up', flush=True); import time; time.sleep(600)"],
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    chunks: list[bytes] = []
    pump = Pump(process, chunks.append)
    pump.start()
    until_blocking(lambda: chunks)
    pump.close(timeout=20)
    process.kill()
    process.wait()

    assert not pump._thread.is_alive()
    assert chunks == [b"up\n"]
