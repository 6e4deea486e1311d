"""The watchdog: all gone after our end by any cause, nothing else touched, nothing after a normal end."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import has_ended, until_blocking

import discomfort
from discomfort._system.server_command import ServerCommand
from discomfort.exceptions import ServerStartError
from discomfort.server import watchdog as module
from discomfort.server.supervisor import Supervisor
from discomfort.server.watchdog import Watchdog

_VICTIM = """
import asyncio, json, os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from unit.server.children import grandchild_of
from waiting import until_blocking
from discomfort._system.server_command import ServerCommand
from discomfort.server.supervisor import Supervisor
from discomfort.server.watchdog import Watchdog
folder, child, way = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
dog = Watchdog.start()
def server(*switches):
    return Supervisor.start(ServerCommand((sys.executable, "-I", "-S", child, *switches), folder), watchdog=dog)
servers = [server("--grandchild", "group"), server("--ignore-term", "--grandchild", "session"),
           server("--grandchild", "orphan")]
pids = [dog.pid, *(s.pid for s in servers), *(grandchild_of(s).pid for s in servers)]
for s in servers:
    until_blocking(lambda: "up" in s.log_tail())
dog.watch_path(folder / "file.bin", root=folder)
dog.watch_path(folder / "private", root=folder)
dog.watch_path(folder / "kept", root=folder)
dog.forget_path(folder / "kept")
for name in ("file.bin", "kept"):
    (folder / name).write_text("x")
(folder / "private" / "deep").mkdir(parents=True)
(folder / "private" / "deep" / "file").write_text("x")
fork = 0
if way == "fork":
    fork = os.fork()
    if fork == 0:
        time.sleep(600)
        os._exit(0)
print(json.dumps([fork, *pids]), flush=True)
if way == "exit":
    sys.exit(0)
time.sleep(600)
"""


def run_victim(folder: Path, child: str, way: str) -> tuple[subprocess.Popen[str], int, list[psutil.Process]]:
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(Path(__file__).parents[2]), str(folder), child, way],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(Path(discomfort.__file__).parents[1])},
    )
    assert victim.stdout is not None
    fork, *pids = json.loads(victim.stdout.readline())
    return victim, fork, [psutil.Process(pid) for pid in pids]


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, "fork", "exit"])
def test_nothing_is_left_when_we_are_killed(
    tmp_path: Path, child: Callable[..., ServerCommand], way: signal.Signals | str
) -> None:
    """Servers, their children, files, folders and the watchdog are gone after our end, though a fork of us lives."""
    folder = tmp_path / "work"
    folder.mkdir()
    victim, fork, processes = run_victim(folder, child().argv[3], str(way))
    begun = time.monotonic()
    try:
        if way != "exit":
            victim.send_signal(way if isinstance(way, signal.Signals) else signal.SIGKILL)
        victim.wait(20)
        until_blocking(lambda: all(has_ended(process) for process in processes))
        seconds = time.monotonic() - begun
    finally:
        if fork:
            # It is not one of those that the victim registered, and so lives on.
            os.kill(fork, signal.SIGKILL)
    assert victim.stdout is not None
    victim.stdout.close()

    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert seconds < 10  # it is 5 on an idle machine; a test must not fail for being late


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a browser."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def start_of(process: subprocess.Popen[bytes]) -> float:
    return psutil.Process(process.pid).create_time()


def abandon(dog: Watchdog) -> None:
    """Let the watchdog see what it sees when we are killed."""
    dog._close_pipe()
    assert dog._process is not None
    assert dog._process.ended(20)


def test_a_single_process_is_ended(watchdog: Watchdog, sleeper: subprocess.Popen[bytes]) -> None:
    """Without group only the process and its descendants are ended, by SIGTERM first."""
    watchdog.watch_process(sleeper.pid, start_of(sleeper), group=False)
    abandon(watchdog)

    assert sleeper.wait(20) == -signal.SIGTERM


def test_a_forgotten_process_lives(watchdog: Watchdog, sleeper: subprocess.Popen[bytes]) -> None:
    """What was taken back is not touched; taking back twice is fine."""
    watchdog.watch_process(sleeper.pid, start_of(sleeper), group=False)
    watchdog.forget_process(sleeper.pid)
    watchdog.forget_process(sleeper.pid)
    abandon(watchdog)

    assert sleeper.poll() is None


def test_close_touches_nothing(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The normal end leaves everything as it is, is idempotent, and later calls do nothing."""
    dog = Watchdog.start()
    process = psutil.Process(dog.pid)
    assert dog.running
    (tmp_path / "a").touch()
    dog.watch_process(sleeper.pid, start_of(sleeper), group=True)
    dog.watch_path(tmp_path / "a", root=tmp_path)
    dog.close()
    dog.close()
    dog.watch_path(tmp_path / "a", root=tmp_path)
    dog.forget_process(sleeper.pid)

    assert has_ended(process)
    assert not dog.running
    assert "closed" in repr(dog)
    assert sleeper.poll() is None
    assert (tmp_path / "a").exists()


def test_another_process_with_that_pid_is_not_ours(watchdog: Watchdog, sleeper: subprocess.Popen[bytes]) -> None:
    """A start time that does not match, at registration or at the end, protects the process."""
    watchdog.watch_process(sleeper.pid, start_of(sleeper) - 100, group=True)
    assert "watching 0" in repr(watchdog)
    watchdog._register(
        ("process", sleeper.pid),
        {"op": "process", "pid": sleeper.pid, "start": 1.0, "group": True, "token": None},
    )
    abandon(watchdog)

    assert sleeper.poll() is None


def test_a_process_that_ended_is_not_watched(watchdog: Watchdog) -> None:
    """Registering the dead is not an error."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    watchdog.watch_process(process.pid, 0.0, group=True)

    assert "watching 0" in repr(watchdog)


def test_the_supervisor_takes_back_what_it_registered(watchdog: Watchdog, start: Callable[..., Supervisor]) -> None:
    """A server that was stopped is not watched any more."""
    server = start(watchdog=watchdog)
    assert "watching 1" in repr(watchdog)
    server.kill_now()

    assert "watching 0" in repr(watchdog)


def test_signals_do_not_reach_it(watchdog: Watchdog) -> None:
    """It has its own session and ignores what ends others."""
    process = psutil.Process(watchdog.pid)
    until_blocking(lambda: _ignored_signals(watchdog.pid) >= {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

    assert os.getsid(watchdog.pid) == watchdog.pid
    # It looks at our process now and then, by a file that it closes again.
    until_blocking(lambda: process.num_fds() == 3)
    assert set(process.environ()) <= {"LC_CTYPE", "LD_LIBRARY_PATH"}


def _ignored_signals(pid: int) -> set[int]:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("SigIgn:"))
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_a_killed_watchdog_is_replaced(
    watchdog: Watchdog, sleeper: subprocess.Popen[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The next call starts another with all registrations, and it is logged once."""
    watchdog.watch_process(sleeper.pid, start_of(sleeper), group=False)
    for name in ("a", "b"):
        before = watchdog.pid
        os.kill(before, signal.SIGKILL)
        until_blocking(lambda: not watchdog.running)
        (tmp_path / name).touch()
        watchdog.watch_path(tmp_path / name, root=tmp_path)
        assert watchdog.pid != before
    assert caplog.text.count("is gone or stuck") == 1
    abandon(watchdog)

    assert sleeper.wait(20) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_watchdog_does_not_hold_us_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    """One that does not read is replaced, and killed before it can take the closed pipe for our end."""
    monkeypatch.setattr(module, "_SEND_SECONDS", 0.1)
    dog = Watchdog.start()
    stuck = psutil.Process(dog.pid)
    dog.watch_process(sleeper.pid, start_of(sleeper), group=False)
    stuck.suspend()
    for number in range(2000):
        dog.watch_path(tmp_path / f"{number:0200}", root=tmp_path)
        if dog.pid != stuck.pid:
            break
    assert dog.pid != stuck.pid
    dog.close()

    assert has_ended(stuck)
    assert sleeper.poll() is None


def test_a_watchdog_that_can_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an interpreter, or where the system refuses, the error is ours."""
    before = set(Path("/proc/self/fd").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(ServerStartError, match="could not be started"):
            Watchdog.start()
        patch.setattr(sys, "executable", "")
        with pytest.raises(ServerStartError, match="interpreter"):
            Watchdog.start()

    assert {int(p.name) for p in Path("/proc/self/fd").iterdir()} <= {int(p.name) for p in before}


def test_a_fork_does_not_speak_for_us(watchdog: Watchdog, sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A forked child closes its copy of the pipe, and none of its calls has an effect."""
    watchdog.watch_process(sleeper.pid, start_of(sleeper), group=False)
    pid = os.fork()
    if pid == 0:
        try:
            watchdog.forget_process(sleeper.pid)
            watchdog.watch_path(tmp_path / "x", root=tmp_path)
            watchdog.close()
            os._exit(0 if watchdog._pipe == -1 and not watchdog.running else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert watchdog.running
    abandon(watchdog)

    assert sleeper.wait(20) == -signal.SIGTERM


class TestPaths:
    """What may be removed, and what is."""

    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A home and a working directory inside the test's folder."""
        (tmp_path / "home" / "cwd").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path / "home" / "cwd")
        return tmp_path / "home"

    @pytest.mark.parametrize(
        ("path", "root"),
        [
            ("{t}/home", "{t}"),
            ("{t}/home/cwd", "{t}"),
            ("{t}/home/cwd", "{t}/home"),
            ("{t}", "/"),
            ("/", "/"),
            ("{t}/x", "{t}/x"),
            ("{t}/x", "{t}/other"),
            ("{t}/a/../b", "{t}"),
            ("{t}/link/x", "{t}/home"),
            ("x", "{t}"),
            ("{t}/x", "."),
            ("{t}/x\0y", "{t}"),
        ],
    )
    def test_refused(self, watchdog: Watchdog, home: Path, tmp_path: Path, path: str, root: str) -> None:
        """Home, working directory and their parents, what is not inside its root, relative and odd paths."""
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=r"must be absolute|not inside|never removed"):
            watchdog.watch_path(Path(path.format(t=tmp_path)), root=Path(root.format(t=tmp_path)))

        assert home.is_dir()

    def test_a_root_behind_a_symlink(self, watchdog: Watchdog, tmp_path: Path) -> None:
        """A folder that the user linked elsewhere is a fine root, and its files can be forgotten again."""
        (tmp_path / "disk").mkdir()
        (tmp_path / "models").symlink_to(tmp_path / "disk")
        for name in ("gone", "kept"):
            (tmp_path / "disk" / name).touch()
            watchdog.watch_path(tmp_path / "models" / name, root=tmp_path / "models")
        watchdog.forget_path(tmp_path / "models" / "kept")
        abandon(watchdog)

        assert [p.name for p in (tmp_path / "disk").iterdir()] == ["kept"]

    def test_symlinks_are_removed_not_followed(self, watchdog: Watchdog, tmp_path: Path) -> None:
        """A link in a removed folder, or in the place of one, costs its target nothing."""
        root, outside = tmp_path / "root", tmp_path / "outside"
        outside.mkdir()
        (outside / "precious").touch()
        (root / "tree").mkdir(parents=True)
        (root / "tree" / "link").symlink_to(outside)
        for name in ("tree", "swapped"):
            watchdog.watch_path(root / name, root=root)
        (root / "swapped").symlink_to(outside)
        abandon(watchdog)

        assert list(root.iterdir()) == []
        assert (outside / "precious").exists()

    def test_a_folder_swapped_for_a_symlink(self, watchdog: Watchdog, tmp_path: Path) -> None:
        """What became a link on the way to the path is not followed out of the root."""
        root, outside = tmp_path / "root", tmp_path / "outside"
        (root / "sub").mkdir(parents=True)
        outside.mkdir()
        (outside / "file").touch()
        watchdog.watch_path(root / "sub" / "file", root=root)
        (root / "sub").rmdir()
        (root / "sub").symlink_to(outside)
        abandon(watchdog)

        assert (outside / "file").exists()

    def test_what_is_not_there_or_not_possible(self, watchdog: Watchdog, tmp_path: Path) -> None:
        """One path that cannot be removed does not keep the others."""
        (tmp_path / "b").touch()
        for name in ("absent", "b"):
            watchdog.watch_path(tmp_path / name, root=tmp_path)
        watchdog.watch_path(tmp_path / "no" / "folder" / "x", root=tmp_path / "no")
        abandon(watchdog)

        assert list(tmp_path.iterdir()) == []

    def test_names_of_any_kind(self, watchdog: Watchdog, tmp_path: Path) -> None:
        """Spaces, line ends, other alphabets and bytes that are no text survive the pipe."""
        names = ["a b", "line\nend", "画像", "\udcff"]
        for name in names:
            (tmp_path / name).touch()
            watchdog.watch_path(tmp_path / name, root=tmp_path)
        abandon(watchdog)

        assert list(tmp_path.iterdir()) == []


def test_the_registration_is_quiet(watchdog: Watchdog, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing above DEBUG is logged in normal use."""
    caplog.set_level(logging.INFO)
    watchdog.watch_path(tmp_path / "x", root=tmp_path)
    watchdog.forget_path(tmp_path / "x")
    watchdog.forget_path(tmp_path / "x")

    assert caplog.text == ""


def test_a_replacement_that_does_not_work_is_an_error(watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> None:
    """When two in a row cannot be written to, the caller learns that nothing is watched."""

    def broken(*_: object) -> None:
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(watchdog, "_write", broken)
        with pytest.raises(ServerStartError, match="does not work"):
            watchdog.watch_process(os.getpid(), psutil.Process().create_time(), group=False)


def _has_ended_or_stopped(process: psutil.Process) -> bool:
    try:
        return has_ended(process) or process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return True


def test_closing_a_dead_or_deaf_watchdog(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """One that was killed causes no trouble, one that does not listen is killed."""
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.1)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        dog = Watchdog.start()
        process = psutil.Process(dog.pid)
        os.kill(dog.pid, number)
        until_blocking(lambda process=process: _has_ended_or_stopped(process))
        dog.close()

        assert has_ended(process)
    assert "did not end after the close message" in caplog.text


def test_home_and_working_directory_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without either there is nothing to spare, and no error."""

    def nowhere() -> Path:
        raise RuntimeError("no home")

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(module.Path, "home", nowhere)

    assert module._precious() == []


def test_the_watchdog_is_no_child_of_ours() -> None:
    """What kills a worker with its children does not find it: not below us, not in our session or group."""
    dog = Watchdog.start()
    process = psutil.Process(dog.pid)
    try:
        assert dog.running
        assert process.ppid() != os.getpid()
        assert dog.pid not in {child.pid for child in psutil.Process().children(recursive=True)}
        assert os.getsid(dog.pid) == os.getpgid(dog.pid) == dog.pid
    finally:
        dog.close()
    assert not dog.running
    assert has_ended(process)
