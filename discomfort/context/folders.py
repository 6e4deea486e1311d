"""The two folders of a context: one on disk, which has its receipts, and one in memory, where that can be made.

Both are claimed by the process that makes the context, so any later process can remove what a dead one left.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import tempfile
from pathlib import Path

from discomfort._system import claimed_folders, locks, shared_memory, user
from discomfort._system.claimed_folders import ClaimedFolder
from discomfort.exceptions import ConfigurationError

_TRIES = 100

_log = logging.getLogger("discomfort.context")


def user_folder() -> str:
    """The name of the folder of this user, on disk and in memory."""
    return f"discomfort-{user.identity() if locks.AVAILABLE else 0}"


def disk_root(contexts_dir_name: str) -> Path:
    """The folder of all contexts of this user on disk."""
    return Path(tempfile.gettempdir()) / user_folder() / contexts_dir_name


def make_home(root: Path, run_id: str) -> ClaimedFolder:
    """Make the folder of a context on disk.

    Raises FileExistsError if a living context has this id, ConfigurationError if the root cannot be used, OSError.
    """
    try:
        return _claimed(root, run_id, above=1)
    except FileExistsError as error:
        if error.filename == str(root / run_id):
            raise FileExistsError(
                error.errno,
                f"a context with the id {run_id!r} lives already; open it with create=False, or choose another run_id",
                str(root / run_id),
            ) from error
        raise _unusable(root, error) from error
    except (PermissionError, NotADirectoryError) as error:
        raise _unusable(root, error) from error


def _unusable(root: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be used for contexts: {error.strerror or error}",
        key="folder",
        value=str(error.filename or root),
        remedy="Set TMPDIR to a folder of your own",
    )


def find_home(root: Path, run_id: str) -> Path:
    """The folder of a living context. Raises FileNotFoundError."""
    home = root / run_id
    if not claimed_folders.is_claimed(home):
        raise FileNotFoundError(
            2, f"there is no context with the id {run_id!r}, or the process that made it has ended", str(home)
        )
    return home


def make_memory_folder(root: Path, run_id: str) -> ClaimedFolder:
    """Make the folder of a context in memory. Raises OSError."""
    try:
        return _claimed(root / user_folder(), run_id)
    except FileExistsError:
        # A living context of this id has another place on disk.
        return _claimed(root / user_folder(), f"{run_id[:50]}-{secrets.token_hex(8)}")


def roots() -> list[Path]:
    """All folders that this user's contexts are in, on disk and in memory; not all of them need exist."""
    return [*sorted(files_in(Path(tempfile.gettempdir()) / user_folder())), shared_memory.FOLDER / user_folder()]


def leftovers() -> list[Path]:
    """The folders of this user's contexts whose processes have ended, on disk and in memory. Nothing is changed."""
    return [path for root in roots() for path in claimed_folders.abandoned(root)]


def remove_leftovers(*roots: Path) -> None:
    """Remove the folders of contexts whose processes have ended. Never raises."""
    for root in roots:
        for path in claimed_folders.abandoned(root):
            if claimed_folders.remove_abandoned(path):
                _log.info("removed %s: the process that made this context has ended", path)
            else:
                _log.debug("%s is left to another process, or could not be removed", path)
        _remove_empty(root)


def files_in(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it cannot be read. Never raises."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        _log.debug("%s cannot be read: %s", folder, error)
        return []


def remove_file(path: Path) -> None:
    """Remove one value's file. Never raises."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s could not be removed: %s", path, error)


def _remove_empty(root: Path) -> None:
    """Remove the folder of this user's contexts, and that of this user above it, if they are empty."""
    with contextlib.suppress(OSError):
        root.rmdir()
        if root.name != user_folder():
            root.parent.rmdir()


def _claimed(root: Path, name: str, *, above: int = 0) -> ClaimedFolder:
    """Make a folder in ``root``, which is made too, with so many folders above it. Raises OSError."""
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            for level in range(above, -1, -1):
                claimed_folders.make_root(root.parents[level - 1] if level else root)
            return ClaimedFolder.make(root / name, parents=above + 1)
        # Another process has just removed the root, since it was empty.
    raise FileNotFoundError(2, "cannot be made, or is removed again and again", str(root))
