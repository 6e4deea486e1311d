"""Free ports, and leases that prevent two connectors of one user from using the same port."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import socket
import tempfile
import warnings
from pathlib import Path

import platformdirs

from discomfort._system.descriptors import open_existing
from discomfort._system.locks import FileLock, try_lock
from discomfort._system.user import identity, is_ours
from discomfort.exceptions import ServerStartError

_log = logging.getLogger("discomfort.server")

_CONNECT_SECONDS = 0.25
_LOCK_NAME = re.compile(r"[0-9]{1,5}\.lock")


class PortLease:
    """A port that no other connector of this user takes until :meth:`release`, or until this process ends."""

    def __init__(self, port: int, lock: FileLock | None) -> None:
        self.port = port
        self.path: Path | None = lock.path if lock is not None else None
        self.inode: int = lock.inode if lock is not None else 0
        self._lock = lock
        self._owner = os.getpid()

    @property
    def folders(self) -> list[Path]:
        """The folders around the lock's file that are removed when empty, outermost first."""
        return _own_folders(self.path.parent)[::-1] if self.path is not None else []

    def __repr__(self) -> str:
        return f"<PortLease {self.port}{'' if self._lock else ' released'}>"

    def release(self) -> None:
        """Release the port. Idempotent; does nothing in a forked child."""
        if os.getpid() != self._owner:
            return
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release(remove=True)
            _remove_if_empty(lock.path.parent)


def lease_port(host: str, initial: int, *, span: int = 1000) -> PortLease:
    """Lease the first free port of ``initial`` … ``initial + span - 1`` (65535 at most).

    A port is free if nothing listens on it on ``host`` or on all addresses, and no other connector of this user has a
    lease on it. The lease is a lock of the operating system on a file, so a crashed process releases it. Another
    program may still take the port before the server does; then the server ends, and its error says so. Lock files left
    by killed processes are removed. Usually blocks for milliseconds.

    Raises ServerStartError if no port is free, naming the range, or if ``host`` is not an address of this machine.
    """
    last = min(initial + span - 1, 65535)
    addresses = _addresses(host)
    directory = _lock_directory()
    for port in range(max(initial, 1), last + 1):
        lease = _try_lease(directory, port)
        if lease is None:
            continue
        try:
            free = _is_free(addresses, port)
        except BaseException:
            lease.release()
            raise
        if free:
            for path in abandoned_locks(directory) if directory is not None else ():
                remove_lock(path)
            return lease
        lease.release()
    raise ServerStartError(
        f"no free port from {initial} to {last} on {host}", remedy="Set INITIAL_PORT to the start of a free range"
    )


def abandoned_locks(directory: Path | None = None) -> list[Path]:
    """Files of leases that no process holds, in ``directory`` (default: the folder of leases). Nothing is changed."""
    folder = directory or _lock_directory()
    if folder is None:
        return []
    found = [path for path in sorted(folder.glob("*.lock")) if _LOCK_NAME.fullmatch(path.name) and _is_free_lock(path)]
    if directory is None:
        # Looking made it where there was none.
        _remove_if_empty(folder)
    return found


def remove_lock(path: Path) -> bool:
    """Remove the file of a lease, and its folders if empty, unless it is held. Returns whether it is gone."""
    with contextlib.suppress(OSError):
        lock = FileLock.take(path)
        if lock is not None:
            lock.release(remove=True)
        _remove_if_empty(path.parent)
    return not path.exists()


def _is_free_lock(path: Path) -> bool:
    try:
        descriptor = open_existing(path, writable=True)
    except OSError:
        return False
    try:
        return try_lock(descriptor, shared=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _try_lease(directory: Path | None, port: int) -> PortLease | None:
    if directory is None:
        return PortLease(port, None)
    try:
        # Another connector that released its lease may just have removed the empty folder.
        directory.mkdir(exist_ok=True, parents=True, mode=0o700)
        lock = FileLock.take(directory / f"{port}.lock")
    except OSError as error:
        _log.warning("port %d is taken without a lease: %s", port, error)
        return PortLease(port, None)
    return None if lock is None else PortLease(port, lock)


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        infos = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ServerStartError(
            f"the host {host!r} has no address: {error}", remedy="Set API_URL to an address of this machine"
        ) from error
    found = [(family, str(address[0])) for family, _, _, _, address in infos]
    # A server on all addresses blocks the port for one on a single address, and the other way round.
    found.append((socket.AF_INET, "0.0.0.0"))  # noqa: S104
    return list(dict.fromkeys(found))


def _is_free(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> bool:
    return all(_can_listen(f, a, port) for f, a in addresses) and not any(_answers(f, a, port) for f, a in addresses)


def _can_listen(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server itself will: connections in TIME_WAIT must not count, but a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise ServerStartError(
                    f"{address} is not an address of this machine", remedy="Set API_URL to one, such as 127.0.0.1"
                ) from error
            return False
    return True


def _answers(family: socket.AddressFamily, address: str, port: int) -> bool:
    # A forwarder (of a container or a virtual machine) may answer on a port that can still be bound.
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        return probe.connect_ex((target, port)) == 0


def _lock_directory() -> Path | None:
    """The folder of leases of all connectors of this user; ``None``, with a warning, if there can be no such folder."""
    problem: OSError | None = None
    for find in (_runtime_folder, _temporary_folder):
        try:
            return _private_directory(find() / "ports")
        except OSError as error:
            problem = error
    _log.warning("ports are used without a lease, since there is no folder to keep leases in: %s", problem)
    return None


def _runtime_folder() -> Path:
    with warnings.catch_warnings():
        # It warns where XDG_RUNTIME_DIR is not set, as in most containers; its fallback there is what we want.
        warnings.simplefilter("ignore")
        # It makes a missing folder as private as it wants to find it; one made by us it would refuse next time.
        return Path(platformdirs.user_runtime_dir("discomfort", appauthor=False, ensure_exists=True))


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"discomfort-runtime-{identity()}"


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        for folder in _own_folders(directory):
            folder.rmdir()


def _own_folders(directory: Path) -> list[Path]:
    """The folder for leases, and those around it in the temporary folder, innermost first.

    A runtime folder that the user configured belongs to the user and is never removed.
    """
    temporary, named = Path(tempfile.gettempdir()), os.environ.get("XDG_RUNTIME_DIR")
    around = (parent for parent in directory.parents if temporary in parent.parents)
    return [directory, *(folder for folder in around if named is None or folder not in _with_parents(Path(named)))]


def _with_parents(path: Path) -> set[Path]:
    return {path, *path.parents}


def _private_directory(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.mkdir(exist_ok=True, mode=0o700)
    facts = path.lstat()
    if path.is_symlink() or not is_ours(facts):
        raise PermissionError(errno.EPERM, "belongs to somebody else", str(path))
    if facts.st_mode & 0o077:
        path.chmod(0o700)
    return path
