"""Leases of ports: free ones only, one connector each, and freed by any end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import first_port

import discomfort
from discomfort.exceptions import ServerStartError
from discomfort.server import ports
from discomfort.server.ports import PortLease, abandoned_locks, lease_port, remove_lock

HOST = "127.0.0.1"

_HOLDER = """
import sys, time
from pathlib import Path
from discomfort.server import ports
ports._lock_directory = lambda: Path(sys.argv[2])
lease = ports.lease_port("127.0.0.1", int(sys.argv[1]))
print(lease.port, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of this test are nobody else's."""
    monkeypatch.setattr(ports, "_lock_directory", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A listener on loopback, on a port with a free one right after it."""
    for _ in range(100):
        with socket.socket() as after:
            listener = socket.socket()
            listener.bind((HOST, 0))
            listener.listen()
            try:
                after.bind((HOST, listener.getsockname()[1] + 1))
            except (OSError, OverflowError):
                listener.close()
                continue
        yield listener
        listener.close()
        return
    pytest.fail("no two ports side by side")


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_the_first_port_is_taken_when_it_is_free() -> None:
    """No search where none is needed, and the port can be bound afterwards."""
    port = free_port()
    lease = lease_port(HOST, port)

    assert lease.port == port
    assert str(port) in repr(lease)
    with socket.socket() as server:
        server.bind((HOST, port))
    lease.release()


def test_a_port_with_a_listener_is_skipped(taken: socket.socket) -> None:
    """The next free one is leased."""
    lease = lease_port(HOST, port_of(taken))

    assert lease.port > port_of(taken)
    lease.release()


@pytest.mark.parametrize(("listens", "asked"), [("0.0.0.0", HOST), (HOST, "0.0.0.0")])
def test_all_addresses_and_one_address_get_in_each_others_way(listens: str, asked: str) -> None:
    """A listener on every address blocks a lease for one, and the other way round."""
    with socket.socket() as listener:
        listener.bind((listens, 0))
        listener.listen()
        with pytest.raises(ServerStartError):
            lease_port(asked, port_of(listener), span=1)


def test_a_bound_port_is_not_free() -> None:
    """A program that has bound its port and does not listen yet will."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        with pytest.raises(ServerStartError):
            lease_port(HOST, port_of(bound), span=1)


def test_a_port_with_closed_connections_is_free() -> None:
    """Connections of a server that just ended (TIME_WAIT) do not make its port look taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, 0))
        listener.listen()
        port = port_of(listener)
        with socket.create_connection((HOST, port)) as client:
            served, _ = listener.accept()
            served.close()
            assert client.recv(1) == b""
    lease = lease_port(HOST, port, span=1)

    assert lease.port == port
    lease.release()


def test_two_leases_in_one_process_differ() -> None:
    """A leased port is not leased again before it is released; releasing twice is fine."""
    port = free_port()
    first = lease_port(HOST, port)
    second = lease_port(HOST, port)
    assert first.port != second.port

    first.release()
    first.release()
    assert "released" in repr(first)
    third = lease_port(HOST, port)

    assert third.port == port
    second.release()
    third.release()


def test_another_process_and_its_crash(own_directory: Path) -> None:
    """A lease holds against other processes, and ends with its process by whatever cause."""
    port = free_port()
    root = Path(discomfort.__file__).parents[1]
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(port), str(own_directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with holder:
        try:
            assert holder.stdout is not None
            held = int(holder.stdout.readline())
            with pytest.raises(ServerStartError):
                lease_port(HOST, held, span=1)
        finally:
            holder.kill()
    lease = lease_port(HOST, held, span=1)

    assert lease.port == held
    lease.release()


def test_none_free_names_the_range(taken: socket.socket) -> None:
    """The error says where it looked and what to set."""
    port = port_of(taken)

    with pytest.raises(ServerStartError, match=rf"no free port from {port} to {port} on {HOST}.*INITIAL_PORT"):
        lease_port(HOST, port, span=1)


def test_ports_end_at_65535(monkeypatch: pytest.MonkeyPatch) -> None:
    """The range does not go beyond what a port can be, and a start beyond it is an error."""
    monkeypatch.setattr(ports, "_is_free", lambda *_: False)

    with pytest.raises(ServerStartError, match="from 65530 to 65535"):
        lease_port(HOST, 65530)
    with pytest.raises(ServerStartError, match="no free port"):
        lease_port(HOST, 70000)


@pytest.mark.parametrize(
    ("host", "text"), [("no such host!", "has no address"), ("192.0.2.1", "not an address of this")]
)
def test_a_host_that_is_not_ours(host: str, text: str) -> None:
    """A name without address and a foreign address (RFC 5737) are told apart from taken ports."""
    with pytest.raises(ServerStartError, match=f"{text}.*API_URL"):
        lease_port(host, free_port(), span=1)


def test_a_failing_test_gives_the_lease_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in between leaves no port locked."""
    port = free_port()
    with monkeypatch.context() as patch:
        patch.setattr(ports, "_is_free", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lease_port(HOST, port)
    lease = lease_port(HOST, port, span=1)

    assert lease.port == port
    lease.release()


def test_without_a_folder_there_is_no_lease_but_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nothing can be written still gets a free port."""
    monkeypatch.setattr(ports, "_lock_directory", lambda: None)
    lease = lease_port(HOST, free_port())

    assert lease.port
    lease.release()


class TestLockDirectory:
    """Where leases are kept."""

    @pytest.fixture(autouse=True)
    def real(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_directory: Path) -> None:
        """Undo the other fixture, and put all candidates into the test's folder."""
        monkeypatch.undo()
        monkeypatch.setattr(ports.platformdirs, "user_runtime_dir", lambda *_, **__: str(tmp_path / "run"))
        monkeypatch.setattr(ports.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()

    def test_it_is_private(self, tmp_path: Path) -> None:
        """Only this user may look into it, also where it was open before."""
        (tmp_path / "run" / "ports").mkdir(parents=True)
        (tmp_path / "run" / "ports").chmod(0o777)
        found = ports._lock_directory()

        assert found == tmp_path / "run" / "ports"
        assert found.stat().st_mode & 0o777 == 0o700

    def test_a_symlink_is_not_followed(self, tmp_path: Path) -> None:
        """What somebody else put there is passed over for the fallback."""
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "ports").symlink_to(tmp_path)
        found = ports._lock_directory()

        assert found is not None
        assert found.parent.parent == tmp_path / "tmp"

    def test_no_folder_at_all(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Where none can be made it is logged and done without."""
        (tmp_path / "run").write_text("a file")
        (tmp_path / "tmp").rmdir()
        (tmp_path / "tmp").write_text("a file")

        assert ports._lock_directory() is None
        assert "without a lease" in caplog.text


def test_a_lock_that_fails_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that vanished does not prevent a start."""
    (tmp_path / "file").write_text("")
    lease = ports._try_lease(tmp_path / "file", 8188)

    assert isinstance(lease, PortLease)
    assert "8188" in caplog.text
    lease.release()


def test_a_runtime_folder_that_the_user_named_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What we made in it goes with the last lease; the folder itself is not ours, empty or not."""
    named = tmp_path / "named"
    (named / "discomfort" / "ports").mkdir(parents=True)
    monkeypatch.setattr(ports.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(named))

    ports._remove_if_empty(named / "discomfort" / "ports")

    assert list(tmp_path.rglob("*")) == [named]


def test_lock_of_a_killed_process_is_cleared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SIGKILL leaves an empty, unlocked file: the next lease removes it; one that is held, and other files, stay."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    held = lease_port("127.0.0.1", first_port(19710))
    assert held.path is not None
    folder = held.path.parent
    dead, other = folder / "29900.lock", folder / "notes.lock"
    dead.touch()
    other.touch()
    assert abandoned_locks() == [dead]
    assert not remove_lock(held.path)

    lease = lease_port("127.0.0.1", first_port(19730))

    assert not dead.exists()
    assert other.exists()
    assert held.path.exists()
    other.unlink()
    lease.release()
    held.release()
    assert abandoned_locks() == []
