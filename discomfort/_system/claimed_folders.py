"""Folders that belong to a process as long as it lives, and are removed at the latest after its end.

In each lies a file ``owner`` with the pid, the start time and the pid namespace of the process, which holds a lock on
it. So a folder is abandoned if nobody holds the lock *and* that very process has ended. A folder is made and removed
under a hidden name that contains the same facts, so none is ever half made, and none that is half removed stays.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import stat
from pathlib import Path

from discomfort import _json
from discomfort._system import claims, locks
from discomfort._system.claims import FolderClaim
from discomfort._system.descriptors import create, open_existing, write_all
from discomfort._system.ownership import owner_lives, owner_mark
from discomfort._system.process_table import pid_namespace
from discomfort._system.removal import OWNER_FILE, remove_tree
from discomfort._system.user import is_ours

_log = logging.getLogger("discomfort._system.claimed_folders")

_HIDDEN = re.compile(r"\.([0-9]+)-([0-9]+-[0-9a-f.-]+)-[0-9a-f]{8}")
_LONGEST_OWNER = 4096
_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})


class ClaimedFolder:
    """A new folder of this process. It is private to the user. Not of a forked child, which only sees it."""

    def __init__(self, claim: FolderClaim, descriptor: int) -> None:
        self.path = claim.path
        self._claim, self._descriptor, self._pid = claim, descriptor, os.getpid()
        locks.keep_from_children(self)

    @classmethod
    def make(cls, path: Path, *, parents: int = 0) -> ClaimedFolder:
        """Make it. An abandoned folder of that name is removed first.

        With ``parents``, so many folders above it are removed with it, if they are empty then.

        Raises FileExistsError if the name belongs to a living process, or to something else; OSError.
        """
        remove_abandoned(path)
        facts = {"mark": owner_mark(), "namespace": _namespace(), "claim": secrets.token_hex(8)}
        claim = FolderClaim(path, path.with_name(_hidden_name()), _json.dumps(facts).decode(), parents)
        claims.begin_claim(claim)
        try:
            claim.hidden.mkdir(0o700)
            return cls(claim, _taken(claim))
        except BaseException:
            remove_tree(claim.hidden)
            claims.end_claim(claim)
            raise

    @property
    def is_ours(self) -> bool:
        """Whether it still belongs to this process, and this is not a forked child."""
        return self._descriptor >= 0 and os.getpid() == self._pid

    def remove(self) -> None:
        """Remove it with everything in it. Safe to call twice. Does nothing in a forked child. Never raises."""
        if not self.is_ours:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            _remove(self.path, self._claim.hidden)
            with contextlib.suppress(OSError):  # others use them
                for parent in self.path.parents[: self._claim.parents]:
                    parent.rmdir()
        finally:
            os.close(descriptor)
            claims.end_claim(self._claim)

    def leave_to_parent(self) -> None:
        """In a forked child: close the lock's descriptor, which does not unlock the parent's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _taken(claim: FolderClaim) -> int:
    """Give a hidden folder its name; the descriptor that holds its lock. Raises FileExistsError, OSError."""
    descriptor = create(claim.hidden / OWNER_FILE, 0o600)
    try:
        if locks.AVAILABLE:
            locks.try_lock(descriptor)
        write_all(descriptor, claim.owner.encode())
        _rename(claim.hidden, claim.path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_root(path: Path) -> None:
    """Make the folder that claimed ones lie in, private to this user. Its parent must exist.

    Raises OSError, also if it belongs to somebody else, or is a link.
    """
    # Not exist_ok, which raises FileExistsError if another process removes the folder just then.
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    status = path.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is a link or a file, not a folder", str(path))
    if locks.AVAILABLE:  # so this system has users and modes
        if not is_ours(status):
            raise PermissionError(errno.EPERM, "belongs to another user", str(path))
        if status.st_mode & 0o077:
            path.chmod(0o700)


def is_claimed(path: Path) -> bool:
    """Whether a folder belongs to a living process. False for what is not such a folder."""
    descriptor = _open_owner(path)
    if descriptor < 0:
        return False
    try:
        return not _is_abandoned(descriptor)
    finally:
        os.close(descriptor)


def abandoned(root: Path) -> list[Path]:
    """The folders in ``root`` whose process has ended. Nothing is changed."""
    try:
        if not _is_own_folder(root):
            return []
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
    found = []
    for path in (root / name for name in names):
        hidden = _HIDDEN.fullmatch(path.name)
        if hidden:
            is_dead = hidden[1] == _namespace_number() and not owner_lives(hidden[2])
        else:
            descriptor = _open_owner(path)
            is_dead = descriptor >= 0 and _is_abandoned(descriptor)
            if descriptor >= 0:
                os.close(descriptor)
        if is_dead:
            found.append(path)
    return found


def remove_abandoned(path: Path) -> bool:
    """Remove a folder if its process has ended; returns whether it is gone. Never raises."""
    hidden = _HIDDEN.fullmatch(path.name)
    if hidden:
        if hidden[1] == _namespace_number() and not owner_lives(hidden[2]):
            remove_tree(path)
        return not os.path.lexists(path)
    descriptor = _open_owner(path)
    if descriptor < 0:
        return not os.path.lexists(path)
    try:
        # The lock, which this takes, keeps two processes from removing it, and one from a new folder of that name.
        if not _is_abandoned(descriptor) or not locks.is_at(path / OWNER_FILE, descriptor):
            return False
        _log.info("removing %s, whose process has ended", path)
        _remove(path, path.with_name(_hidden_name()))
        return not os.path.lexists(path)
    finally:
        os.close(descriptor)


def _remove(path: Path, hidden: Path) -> None:
    try:
        path.rename(hidden)
    except OSError as error:
        _log.debug("%s is removed where it is: %s", path, error)
        hidden = path
    remove_tree(hidden)
    if os.path.lexists(hidden):
        _log.warning("%s could not be removed; the next start tries again", hidden)


def _rename(hidden: Path, path: Path) -> None:
    try:
        # An empty folder of that name is replaced. Any other is left, and the error says so.
        hidden.rename(path)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        raise


def _open_owner(path: Path) -> int:
    """The owner file of a folder, opened; -1 if it has none, or is a link or somebody else's."""
    try:
        if not _is_own_folder(path):
            return -1
        return open_existing(path / OWNER_FILE, writable=True)
    except OSError:
        return -1


def _is_own_folder(path: Path) -> bool:
    """Whether it is a folder of this user, and not a link to one. Raises OSError."""
    status = path.stat(follow_symlinks=False)
    return stat.S_ISDIR(status.st_mode) and (not locks.AVAILABLE or is_ours(status))


def _is_abandoned(descriptor: int) -> bool:
    """Whether the owner has ended. If so, the lock is taken, until the descriptor is closed."""
    if locks.AVAILABLE and not locks.try_lock(descriptor):
        return False
    try:
        facts = _json.loads(os.read(descriptor, _LONGEST_OWNER))
        mark, namespace = str(facts["mark"]), str(facts["namespace"])
    except (OSError, ValueError, KeyError, TypeError):
        # The file is written before the folder gets its name, so this is not one of ours.
        return False
    if namespace != _namespace():
        # The pid means another process here. The lock is shared by all containers of a machine.
        return locks.AVAILABLE
    return not owner_lives(mark)


def _namespace() -> str:
    try:
        return pid_namespace(os.getpid())
    except OSError:
        return ""


def _namespace_number() -> str:
    return re.sub(r"[^0-9]", "", _namespace()) or "0"


def _hidden_name() -> str:
    return f".{_namespace_number()}-{owner_mark()}-{secrets.token_hex(4)}"
