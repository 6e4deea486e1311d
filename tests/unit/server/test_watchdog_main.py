"""The watchdog's own code, in this process where it is harmless."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from unit.server.children import grandchild_of
from waiting import has_ended, until_blocking

from discomfort._system import process_table, removal, signals
from discomfort.server import watchdog_main
from discomfort.server.supervisor import Supervisor

MARK = "DISCOMFORT_SERVER_TOKEN"


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"3", b'"x"', b"{}", b'{"op":"process"}', b'{"op":"process","pid":"x"}', b"\xff"]
)
def test_a_message_that_is_none_is_passed_over(line: bytes) -> None:
    """Half a line, or nonsense, registers nothing."""
    registry = watchdog_main.Registry()
    registry.apply(line)

    assert (registry.processes, registry.paths, registry.closed) == ({}, {}, False)


def test_messages() -> None:
    """Each operation does what it is named for."""
    registry = watchdog_main.Registry()
    for message in (
        {"op": "process", "pid": 5, "start": 1.0},
        {"op": "process", "pid": 6, "start": 1.0},
        {"op": "forget-process", "pid": 5},
        {"op": "path", "path": "/a/b"},
        {"op": "path", "path": "/a/c"},
        {"op": "forget-path", "path": "/a/b"},
        {"op": "unknown"},
    ):
        registry.apply(json.dumps(message).encode())

    assert (set(registry.processes), set(registry.paths), registry.closed) == ({6}, {"/a/c"}, False)
    registry.apply(b'{"op": "close"}')
    assert registry.closed


def test_follow_ends_at_close_and_at_the_end_of_the_pipe() -> None:
    """Pieces of lines are put together; a last one without its end is dropped."""
    for end, closed in ((b'{"op": "close"}\n', True), (b'{"op": "cl', False)):
        read, write = os.pipe()
        os.write(write, b'{"op": "process", "pid": 5, "start": 1}\n' + end)
        os.close(write)
        registry = watchdog_main.Registry()
        watchdog_main.follow(read, os.getppid(), registry)
        os.close(read)

        assert (set(registry.processes), registry.closed) == ({5}, closed)


def test_follow_notices_another_parent() -> None:
    """A pipe that somebody else holds open does not hide the parent's end; what it said before counts."""
    read, write = os.pipe()
    os.write(write, b'{"op": "process", "pid": 5, "start": 1}\n')
    registry = watchdog_main.Registry()
    watchdog_main.follow(read, -1, registry)
    os.close(read)
    os.close(write)

    assert set(registry.processes) == {5}


@pytest.mark.parametrize(
    "entry",
    [
        {"root": "relative", "parts": ["x"]},
        {"root": "/", "parts": []},
        {"root": "/", "parts": [".."]},
        {"root": "/", "parts": ["tmp", "..", "x"]},
        {"root": "/", "parts": ["a/b"]},
        {"root": "/", "parts": [""]},
        {"root": "/nonexistent", "parts": ["x"]},
        {"parts": ["x"]},
        {"root": "/"},
    ],
)
def test_paths_that_are_none(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the registration would have refused is refused again."""
    removed: list[object] = []
    monkeypatch.setattr(removal, "_remove", lambda *args, **_: removed.append(args))
    watchdog_main.remove_paths({"x": entry})

    assert removed == []


def test_targets_never_include_the_first_process_nor_itself() -> None:
    """Whatever is registered."""
    seen = process_table.table()
    entry = {"start": seen[os.getpid()][0], "group": False, "token": None}
    found = {pid for pid, _ in watchdog_main.targets({os.getpid(): entry, 1: {**entry, "start": seen[1][0]}}, "X")}

    assert not {1, os.getpid()} & found


def test_the_table_is_what_the_system_says() -> None:
    """Parent, group and session of this process, and its start as psutil reads it, but for the rounding of a tick."""
    facts = process_table.table()[os.getpid()]

    assert facts[1:] == (os.getppid(), os.getpgid(0), os.getsid(0), False)
    assert psutil.boot_time() + facts.start / os.sysconf("SC_CLK_TCK") == pytest.approx(
        psutil.Process().create_time(), abs=0.01
    )


def test_the_mark_is_found(start: Callable[..., Supervisor]) -> None:
    """A server's own mark, and no other, tells it apart."""
    server = start("--grandchild", "session")
    grandchild = grandchild_of(server)

    assert process_table.carries(grandchild.pid, MARK, server.token)
    assert not process_table.carries(grandchild.pid, MARK, "other")
    assert not process_table.carries(2**22 + 1, MARK, server.token)


def test_a_dead_leader_is_found_by_its_mark(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    """What a server left behind counts, though the server's own pid is nobody's any more."""
    server = start("--grandchild", "session", "--when", tmp_path / "now", "--kill-self")
    grandchild = grandchild_of(server)
    (tmp_path / "now").touch()
    until_blocking(lambda: not server.running)
    entry = {"start": 1.0, "group": True, "token": server.token}

    assert grandchild.pid in {p for p, _ in watchdog_main.targets({server.pid: entry}, MARK)}


def entry_of(server: Supervisor) -> dict[int, dict[str, Any]]:
    start = process_table.table()[server.pid][0]
    return {server.pid: {"pid": server.pid, "start": start, "group": True, "token": server.token}}


@pytest.mark.parametrize("switches", [(), ("--ignore-term",), ("--grandchild", "stubborn"), ("--grandchild", "orphan")])
def test_all_of_a_server_is_ended(start: Callable[..., Supervisor], switches: tuple[str, ...]) -> None:
    """SIGTERM to those who heed it, SIGKILL to the others, also where a process is halted."""
    server = start(*switches)
    until_blocking(lambda: "up" in server.log_tail())
    relatives = [grandchild_of(server)] if "--grandchild" in switches else []
    os.kill(server.pid, signal.SIGSTOP)
    watchdog_main.end_processes(entry_of(server), MARK)
    until_blocking(lambda: not server.running)

    assert server.exit is not None
    assert server.exit.signal == ("SIGKILL" if "--ignore-term" in switches else "SIGTERM")
    assert all(has_ended(process) for process in relatives)


def test_a_signal_goes_to_the_same_process_only(start: Callable[..., Supervisor]) -> None:
    """Not to one that has its pid, and one that ended meanwhile is not an error."""
    server = start()
    until_blocking(lambda: "up" in server.log_tail())
    watchdog_main.send({(server.pid, 1.0), (2**22 + 1, 1.0)}, signals.kill)

    assert server.running
    assert not watchdog_main.gone({(server.pid, process_table.table()[server.pid][0])}, 0.0)
    assert watchdog_main.gone({(server.pid, 1.0)}, 0.0)


def test_a_process_that_may_not_be_signalled_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody to report it to."""

    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    own = (os.getpid(), process_table.table()[os.getpid()][0])
    watchdog_main.send({own}, signals.ask_to_end)

    assert not watchdog_main.gone({own}, 0.0)


def test_follow_waits_for_what_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is not an end."""
    monkeypatch.setattr(watchdog_main, "_PARENT_CHECK_SECONDS", 0.001)
    read, write = os.pipe()
    registry = watchdog_main.Registry()
    thread = threading.Thread(target=watchdog_main.follow, args=(read, os.getppid(), registry))
    thread.start()
    for part in (b'{"op": "pa', b'th", "path": "/a/b"}', b"\n"):
        os.write(write, part)
    until_blocking(lambda: registry.paths)
    os.close(write)
    thread.join(20)
    os.close(read)

    assert set(registry.paths) == {"/a/b"}


def register(registry: watchdog_main.Registry, root: Path, *parts: str) -> None:
    message = {"op": "path", "path": str(root.joinpath(*parts)), "root": str(root), "parts": parts}
    registry.apply(json.dumps(message).encode())


def test_paths_are_removed(tmp_path: Path) -> None:
    """Files, links and whole folders go; what is beside them stays."""
    registry = watchdog_main.Registry()
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "file").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").touch()
    (tmp_path / "beside").touch()
    for parts in (("tree",), ("sub", "file"), ("absent",), ("sub", "no", "x")):
        register(registry, tmp_path, *parts)
    watchdog_main.remove_paths(registry.paths)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["beside", "sub"]
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_folder_that_was_written_to_meanwhile_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was ending may have left one more file."""
    registry = watchdog_main.Registry()
    (tmp_path / "tree").mkdir()
    register(registry, tmp_path, "tree")
    late = [tmp_path / "tree" / "late"]
    real = os.rmdir

    def rmdir(name: str, *, dir_fd: int) -> None:
        if late:
            late.pop().touch()
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir)
    watchdog_main.remove_paths(registry.paths)

    assert not (tmp_path / "tree").exists()


def test_what_can_not_be_removed_inside_a_folder_stays_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the folder goes, the folder itself cannot."""
    registry = watchdog_main.Registry()
    (tmp_path / "tree").mkdir()
    for name in ("a", "stuck", "z"):
        (tmp_path / "tree" / name).touch()
    register(registry, tmp_path, "tree")
    real = os.unlink

    def unlink(name: str, *, dir_fd: int) -> None:
        if name == "stuck":
            raise PermissionError
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    watchdog_main.remove_paths(registry.paths)

    assert [p.name for p in (tmp_path / "tree").iterdir()] == ["stuck"]


def test_a_very_deep_folder_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    """Depth is bounded; what lies deeper stays."""
    registry = watchdog_main.Registry()
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    register(registry, tmp_path, "d")
    watchdog_main.remove_paths(registry.paths)

    assert (tmp_path / "d").is_dir()


def test_main_in_its_own_process(tmp_path: Path) -> None:
    """Told to close it leaves all as it is; without a word it cleans up. It tells its pid, and is nobody's child."""
    program = "import sys; from discomfort.server.watchdog_main import main; main(sys.argv[1:])"
    for word, left in ((b'{"op": "close"}\n', ["file"]), (b"", [])):
        (tmp_path / "file").touch()
        entry = {"op": "path", "path": str(tmp_path / "file"), "root": str(tmp_path), "parts": ["file"]}
        command = [sys.executable, "-c", program, str(os.getpid()), MARK]
        data = json.dumps(entry).encode() + b"\n" + word
        done = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, timeout=20)
        until_blocking(lambda pid=int(done.stdout): process_table.start_of(pid) is None)

        assert [p.name for p in tmp_path.iterdir()] == left


def test_main_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of things: ignore signals, leave the family, follow, end, remove."""
    calls: list[str] = []
    monkeypatch.setattr(signal, "signal", lambda number, _: calls.append(signal.Signals(number).name))
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: calls.append("mask"))
    for name in ("detach", "follow", "end_processes", "remove_paths"):
        monkeypatch.setattr(watchdog_main, name, lambda *_, name=name: calls.append(name))
    watchdog_main.main(["1", MARK])

    assert calls == ["SIGINT", "SIGTERM", "SIGHUP", "mask", "detach", "follow", "end_processes", "remove_paths"]


def test_folders_marked_only_empty_stay_while_used(tmp_path: Path) -> None:
    """What was put into a folder goes first; a folder that others use meanwhile stays."""
    for name in ("gone", "used"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ours").write_text("x")
    (tmp_path / "used" / "theirs").write_text("x")
    registered = {}
    for parts in (["gone"], ["used"], ["gone", "ours"], ["used", "ours"]):
        entry = {"root": str(tmp_path), "parts": parts, "only_empty": len(parts) == 1}
        registered["/".join(parts)] = entry

    watchdog_main.remove_paths(registered)

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["used", "used/theirs"]


def test_a_file_that_was_replaced_stays(tmp_path: Path) -> None:
    """The inode tells our file from one that somebody put in its place."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        path.write_text("x")
    inode = ours.stat().st_ino

    watchdog_main.remove_paths(
        {path.name: {"root": str(tmp_path), "parts": [path.name], "inode": inode} for path in (ours, theirs)}
    )

    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_lock_that_somebody_took_stays(tmp_path: Path) -> None:
    """The file of a dead process's lock goes; one that is held by then, or is another file, stays."""
    free, held, other = (tmp_path / name for name in ("1.lock", "2.lock", "3.lock"))
    entries = {}
    for path in (free, held, other):
        path.touch()
        inode = path.stat().st_ino + (path == other)
        entry = {"root": str(tmp_path), "parts": [path.name], "inode": inode, "only_unlocked": True}
        entries[path.name] = entry
    with held.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watchdog_main.remove_paths(entries)

    assert [path.exists() for path in (free, held, other)] == [False, True, True]
