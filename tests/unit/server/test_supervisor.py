"""One running server: its words, its end, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from unit.server.children import grandchild_of
from waiting import has_ended, until, until_blocking

from discomfort._system import process_tree
from discomfort._system.server_command import ServerCommand
from discomfort.exceptions import ServerError, ServerStartError, StateError
from discomfort.server import supervisor as module
from discomfort.server.supervisor import ExitStatus, Supervisor
from discomfort.server.watchdog import Watchdog

Start = Callable[..., Supervisor]


def open_descriptors() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def up(supervisor: Supervisor) -> Callable[[], bool]:
    return lambda: "up" in supervisor.log_tail()


def test_exit_status_reads_well() -> None:
    """Code, signal and ignorance each have their words."""
    assert str(ExitStatus(1)) == "exit code 1"
    assert str(ExitStatus(None, "SIGKILL")) == "killed by SIGKILL"
    assert str(ExitStatus(None)) == "ended with unknown status"


async def test_a_started_server_runs_until_stopped(start: Start) -> None:
    """Identity while it runs, exit status after, and stop is quick when SIGTERM is heeded."""
    server = start()
    await until(up(server))
    same = psutil.Process(server.pid)

    assert server.running
    assert server.exit is None
    assert server.start_time == same.create_time()
    assert repr(server) == f"<Supervisor pid={server.pid} running>"

    status = await server.stop()

    assert status == ExitStatus(None, "SIGTERM") == server.exit
    assert not server.running
    assert has_ended(same)
    assert "SIGTERM" in repr(server)


async def test_stop_leaves_no_descriptor_and_no_thread(start: Start) -> None:
    """Pipes are closed and threads end."""
    before = open_descriptors()
    server = start()
    await until(up(server))
    await server.stop()

    await until(lambda: not [t for t in threading.enumerate() if t.name.endswith(f"-{server.pid}")])
    assert open_descriptors() <= before


async def test_stop_twice_and_at_once(start: Start) -> None:
    """Concurrent and later calls share one end."""
    server = start()
    await until(up(server))

    results = await asyncio.gather(*(server.stop() for _ in range(5)))

    assert set(results) == {await server.stop()} == {server.exit}


async def test_sigterm_ignored_means_sigkill(start: Start) -> None:
    """A server that does not heed SIGTERM is killed after the grace."""
    server = start("--ignore-term")
    await until(up(server))

    assert await server.stop(grace=0.05) == ExitStatus(None, "SIGKILL")


async def test_a_stopped_process_still_gets_its_sigterm(start: Start) -> None:
    """A server halted by SIGSTOP is continued, so it need not be killed."""
    server = start()
    await until(up(server))
    os.kill(server.pid, signal.SIGSTOP)

    assert await server.stop(grace=30) == ExitStatus(None, "SIGTERM")


@pytest.mark.parametrize("kind", ["group", "session", "orphan", "stubborn"])
async def test_grandchildren_end_with_the_server(start: Start, kind: str) -> None:
    """Children of the group, of their own session, without living parent, and deaf to SIGTERM are all ended."""
    server = start("--grandchild", kind)
    await until(up(server))
    grandchild = grandchild_of(server)

    await server.stop(grace=5)

    assert has_ended(grandchild)


@pytest.mark.parametrize("kind", ["group", "session", "orphan"])
async def test_grandchildren_of_a_dead_server_are_ended_by_stop(start: Start, kind: str, tmp_path: Path) -> None:
    """A pipe that a grandchild holds open delays neither the news of the death nor the stop."""
    server = start("--grandchild", kind, "--when", tmp_path / "now", "--kill-self")
    grandchild = await asyncio.to_thread(grandchild_of, server)
    (tmp_path / "now").touch()

    assert await server.wait() == ExitStatus(None, "SIGKILL")
    assert not has_ended(grandchild)

    await server.stop()

    assert has_ended(grandchild)


def test_strangers_are_left_alone(start: Start) -> None:
    """A process of ours that is not a relative survives the stop."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    server = start("--grandchild", "session")
    grandchild_of(server)
    asyncio.run(server.stop())

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


async def test_cancelling_stop_does_not_stop_the_stopping(start: Start) -> None:
    """The caller goes, the server too."""
    server = start("--ignore-term")
    await until(up(server))
    task = asyncio.ensure_future(server.stop(grace=0.2))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await server.wait() == ExitStatus(None, "SIGKILL")


async def test_wait_by_many_and_cancelled_by_one(start: Start, tmp_path: Path) -> None:
    """One waiter that is cancelled does not disturb the others."""
    server = start("--when", tmp_path / "now", "--exit", 3)
    tasks = [asyncio.ensure_future(server.wait()) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    (tmp_path / "now").touch()

    assert await asyncio.gather(*tasks[1:]) == [ExitStatus(3)] * 4
    assert await server.wait() == ExitStatus(3)


def test_any_loop_will_do(start: Start) -> None:
    """Started without a loop, waited for in one, stopped in another; a loop closed meanwhile does no harm."""
    server = start()
    abandoned = asyncio.new_event_loop()
    task = abandoned.create_task(server.wait())
    abandoned.run_until_complete(asyncio.sleep(0))

    async def stop() -> ExitStatus:
        return await server.stop()

    task._log_destroy_pending = False  # type: ignore[attr-defined]
    abandoned.close()

    assert asyncio.run(stop()) == ExitStatus(None, "SIGTERM")


async def test_last_words_are_there_when_the_end_is_told(start: Start) -> None:
    """Exit is reported after the output was read, so the reason is never missing."""
    server = start("--say", "Traceback: because", "--exit", 1)

    assert await server.wait() == ExitStatus(1)
    assert server.log_tail() == ("Traceback: because",)


async def test_a_flood_of_output_blocks_nobody(start: Start) -> None:
    """More output than any pipe holds is taken while the event loop does not run."""
    server = start("--flood", 20_000_000)
    until_blocking(up(server))  # blocks the event loop on purpose

    assert server.log_tail(2) == ("x" * 99, "up")


async def test_garbage_output(start: Start) -> None:
    """Bytes that are no text do not end the reading."""
    server = start("--say", r"\xff\x00\xc3", "--say", r"1%\r2%\r3%")
    await until(up(server))

    assert server.log_tail()[-2:] == ("3%", "up")


async def test_on_exit_is_called_once(start: Start, tmp_path: Path) -> None:
    """Before and after the end alike; removed or raising callbacks do not matter to the others."""
    server = start("--when", tmp_path / "now", "--exit", 0)
    calls: list[str] = []
    server.on_exit(lambda: calls.append("early"))
    server.on_exit(lambda: calls.remove("never there"))
    remove = server.on_exit(lambda: calls.append("removed"))
    server.on_exit(lambda: calls.append(threading.current_thread().name))
    remove()
    remove()
    (tmp_path / "now").touch()
    await until(lambda: len(calls) == 2)
    server.on_exit(lambda: calls.append("late"))

    assert calls == ["early", f"discomfort-wait-{server.pid}", "late"]


async def test_death_of_the_worker_is_told_while_the_process_lives(start: Start) -> None:
    """The server that answers and runs nothing any more is reported, and only once."""
    calls: list[bool] = []
    server = start("--say", "Exception in thread Thread-1 (prompt_worker):")
    server.on_exit(lambda: calls.append(server.running))
    await until(up(server))

    assert server.worker_died
    assert "worker died" in repr(server)
    assert calls == [True]

    await server.stop()
    assert calls == [True]


def test_kill_now(start: Start) -> None:
    """The emergency exit kills and reaps all at once, and can be taken twice."""
    server = start("--ignore-term", "--grandchild", "stubborn")
    until_blocking(up(server))
    grandchild = grandchild_of(server)

    server.kill_now()
    server.kill_now()

    assert server.exit == ExitStatus(None, "SIGKILL")
    until_blocking(lambda: has_ended(grandchild))


async def test_kill_now_during_stop(start: Start) -> None:
    """Impatience shortens a stop that waits for its grace."""
    server = start("--ignore-term")
    await until(up(server))
    stopping = asyncio.ensure_future(server.stop(grace=600))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.kill_now)

    assert await stopping == ExitStatus(None, "SIGKILL")


def test_a_fork_can_not_end_what_it_did_not_start(start: Start) -> None:
    """In a forked child kill_now does nothing and stop refuses."""
    server = start()
    until_blocking(up(server))
    pid = os.fork()
    if pid == 0:
        try:
            server.kill_now()
            try:
                asyncio.run(server.stop())
            except StateError:
                os._exit(7)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 7
    assert server.running


async def test_a_reaped_process_is_known_to_be_gone(start: Start) -> None:
    """Where SIGCHLD is ignored the exit status is lost, and the end is still noticed."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = start("--exit", 3)
        status = await server.wait()
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert status in {ExitStatus(None), ExitStatus(3)}
    assert not server.running


def test_environment_has_the_mark_and_all_else(tmp_path: Path) -> None:
    """The child's environment is the given one and the mark; the command shows neither."""
    code = "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'))"
    command = ServerCommand((sys.executable, "-I", "-S", "-c", code), tmp_path, {"A": "1"})
    server = Supervisor.start(command)
    until_blocking(lambda: not server.running)

    assert server.log_tail() == ("['A', 'DISCOMFORT_SERVER_TOKEN']",)
    assert server.command == replace(command)
    server.kill_now()


def test_a_start_that_fails_halfway_leaves_nothing(
    child: Callable[..., ServerCommand], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the system has no thread for us the child is killed and the error says why."""
    made: list[subprocess.Popen[bytes]] = []
    real = module.spawn

    def spawn(command: ServerCommand) -> subprocess.Popen[bytes]:
        made.append(real(command))
        return made[-1]

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "spawn", spawn)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(ServerStartError, match="can't start new thread"):
        Supervisor.start(child())

    assert made[0].returncode == -signal.SIGKILL
    assert made[0].stdout is not None
    assert made[0].stdout.closed


async def test_a_process_that_can_not_be_killed(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is stuck in the kernel makes stop fail within its bounds, and kill_now says so."""
    monkeypatch.setattr(module, "_KILL_PATIENCE", 0.01)
    server = start("--ignore-term")
    await until(up(server))
    wait = server._ended.wait
    with monkeypatch.context() as patch:
        patch.setattr(server, "_signal_group", lambda _: None)
        patch.setattr(server._ended, "wait", lambda _: wait(0.01))
        with pytest.raises(ServerError, match="could not be stopped: it did not end"):
            await server.stop(grace=0.01)
        server.kill_now()
    assert "did not end within 2 s" in caplog.text
    server.kill_now()

    assert await server.wait() == ExitStatus(None, "SIGKILL")


async def test_relatives_that_can_not_be_listed(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The end is reported all the same."""
    server = start("--when", tmp_path / "now", "--exit", 4)

    def fail(*_: object, **__: object) -> None:
        raise psutil.AccessDenied

    with monkeypatch.context() as patch:
        patch.setattr(module.process_tree, "members", fail)
        (tmp_path / "now").touch()

        assert await server.wait() == ExitStatus(4)
    assert "could not be listed" in caplog.text


async def test_what_survives_even_sigkill_is_named(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The pids that are left are logged, and the stop ends."""
    server = start("--grandchild", "session")
    await until(up(server))
    grandchild = grandchild_of(server)
    with monkeypatch.context() as patch:
        patch.setattr(module.process_tree, "end", lambda *_, **__: [grandchild])
        await server.stop()
    grandchild.kill()

    assert f"still alive after SIGKILL: pids {grandchild.pid}" in caplog.text


async def test_a_watchdog_that_fails_at_the_end_does_not_fail_the_stop(
    start: Start, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is stopped; that nobody could be told is logged."""
    server = start(watchdog=watchdog)

    def fail(_: int) -> None:
        raise ServerStartError("no watchdog")

    monkeypatch.setattr(watchdog, "forget_process", fail)

    assert await server.stop() == ExitStatus(None, "SIGTERM")
    assert "could not be informed of the end" in caplog.text


def test_signals_without_a_name() -> None:
    """Realtime signals have none in Python."""
    assert str(module._status_of(-40)) == "killed by signal 40"
    assert module._status_of(-signal.SIGSEGV) == ExitStatus(None, "SIGSEGV")


async def test_a_reader_that_fails_is_logged(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The server can still be watched and stopped."""
    server = start("--when", tmp_path / "now")
    monkeypatch.setattr(server._pump, "_sink", lambda _: 1 / 0)
    (tmp_path / "now").touch()
    await until(lambda: "reading the server's output failed" in caplog.text)

    assert await server.stop() == ExitStatus(None, "SIGTERM")


async def test_an_output_that_is_closed_early(start: Start, tmp_path: Path) -> None:
    """A server that closes its output goes on, and ends as any other."""
    script = tmp_path / "closing.py"
    script.write_text("import os, time\nprint('bye', flush=True)\nos.close(1); os.close(2)\ntime.sleep(600)")
    server = Supervisor.start(ServerCommand((sys.executable, "-I", "-S", str(script)), tmp_path))
    await until(lambda: not server._pump._thread.is_alive())

    assert server.running
    assert server.log_tail() == ("bye",)
    assert await server.stop() == ExitStatus(None, "SIGTERM")


class TestFamily:
    """Kinship beyond what a running server shows."""

    def test_strangers_to_signal_and_look_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is gone, or not ours to see or signal, is not an error."""
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
        dead = psutil.Process(child.pid)
        child.wait()

        assert process_tree.end([dead], patience=0.1) == []
        assert not process_tree.alive(dead)
        assert not process_tree._marked(dead, "x")
        assert not process_tree._in_group(2**22 + 1, 1)
        assert process_tree._children(2**22 + 1) == []

        def deny(*_: object) -> None:
            raise psutil.AccessDenied

        own = psutil.Process()
        for name in ("status", "terminate", "kill"):
            monkeypatch.setattr(own, name, deny)

        assert process_tree.alive(own)
        assert process_tree.end([own], patience=0.01) == []
        process_tree.kill([own, dead])
