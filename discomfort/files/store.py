"""Copies files into a server's folders, and deletes the ephemeral ones."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from discomfort._system.atomic_files import give_name
from discomfort._system.descriptors import create, open_existing
from discomfort._system.disk_space import writing_to
from discomfort._system.file_copy import copy_contents, keep_times
from discomfort.exceptions import DiskFullError, StateError, UploadError
from discomfort.files.journal import Journal
from discomfort.files.journal_entries import JournalEntry, remove_entry
from discomfort.files.places import Place, check_name, open_place, stat_in, subfolder_parts

logger: logging.Logger = logging.getLogger("discomfort.files")

_BLOCK = 1 << 20
_TRIES = 3  # another process may remove an empty folder between our opening it and our writing to it


class FileStore:
    """The folders of one server by type: ``input``, ``output``, ``temp``, ``models``.

    Ephemeral files are listed in ``journal`` and deleted by :meth:`delete_ephemeral`, or after a crash by the next
    process's :meth:`Journal.recover`.
    """

    def __init__(self, folders: Mapping[str, Path], journal: Journal) -> None:
        self._folders = {kind: Path(os.path.abspath(folder)) for kind, folder in folders.items()}  # noqa: PTH100
        self._journal = journal
        self._closed = False

    def __repr__(self) -> str:
        return f"<FileStore of {', '.join(self._folders)} with {len(self._journal.entries)} ephemeral entries>"

    def put(
        self,
        source: str | os.PathLike[str],
        folder_type: str = "input",
        subfolder: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        is_ephemeral: bool = False,
        *,
        name: str | None = None,
    ) -> str:
        """Copy a file into one of the server's folders under its own name, or ``name``; return the copy's full path.

        Synchronous. The copy appears completely or not at all, shares the source's blocks if the file system supports
        that, keeps the modification time and is independent of the source: a server that changes it changes nothing
        else. Missing folders are created. A source that is already in place is left unchanged, and is never ephemeral.

        Raises:
            FileNotFoundError: the source does not exist.
            FileExistsError: the target exists, and ``overwrite`` is false. Of two processes that put the same name at
                the same time, one gets this.
            UploadError: an unknown folder type, ``models`` without a subfolder, a path that would leave its folder
                (absolute, ``..``, by a link) or is not a plain name everywhere, a source that is a folder or device.
            OSError: the system's reason (no permission), with both paths; DiskFullError. Nothing is left behind.
            StateError: the store is closed, or was closed meanwhile; an ephemeral copy is deleted then.
        """
        root, parts = self._target(folder_type, subfolder)
        with _open_source(source) as (fd, status):
            target = (root, parts, name or Path(source).name)
            return self._put(fd, status, target, overwrite, is_ephemeral, os.fspath(source))

    def put_content(
        self,
        content: bytes | BinaryIO,
        name: str,
        folder_type: str = "input",
        subfolder: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        is_ephemeral: bool = False,
    ) -> str:
        """As :meth:`put`, with bytes or the rest of a binary file object, in constant memory.

        The content is first written to a file without a name in the same folder, which vanishes with this process: it
        is on the target's disk, so its blocks can be shared.
        """
        self._refuse_if_closed()
        root, parts = self._target(folder_type, subfolder)
        check_name(name, "file name")
        with writing_to(root, f"copying {name!r}"):
            root.mkdir(parents=True, exist_ok=True)
            spool: BinaryIO = tempfile.TemporaryFile(dir=root)  # noqa: SIM115 - closed by the block below
        with spool, writing_to(root, f"copying {name!r}"):
            if isinstance(content, bytes):
                spool.write(content)
            else:
                shutil.copyfileobj(content, spool, _BLOCK)
            spool.flush()
            spool.seek(0)
            status = os.fstat(spool.fileno())
            return self._put(spool.fileno(), status, (root, parts, name), overwrite, is_ephemeral, name)

    def _put(
        self,
        fd: int,
        status: os.stat_result,
        place: tuple[Path, tuple[str, ...], str],
        overwrite: bool,
        is_ephemeral: bool,
        shown: str | bytes,
    ) -> str:
        self._refuse_if_closed()
        root, parts, name = place
        check_name(name, "file name")
        target = root.joinpath(*parts, name)
        try:
            with writing_to(target.parent, f"copying {shown!r}", target):
                root.mkdir(parents=True, exist_ok=True)
                self._place(fd, status, place, overwrite, is_ephemeral)
        except DiskFullError:
            raise
        except FileExistsError as error:
            raise FileExistsError(errno.EEXIST, "the file exists; pass overwrite=True", str(target)) from error
        except OSError as error:
            reason = f"{error.strerror or error} (copying {shown!r})"
            raise OSError(error.errno or errno.EIO, reason, str(target)) from error
        return str(target)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StateError("the connector was shut down; create a new one")

    def close(self) -> list[Path]:
        """Refuse further files, and :meth:`delete_ephemeral`."""
        self._closed = True
        return self.delete_ephemeral()

    def discard(self, path: str | os.PathLike[str]) -> bool:
        """Delete one ephemeral file that :meth:`put` returned. Returns whether it was deleted. Safe in any thread.

        The folders that were created for it are kept until :meth:`delete_ephemeral`: the next file may need them. A
        file that was changed or replaced since is no longer ours: it is kept, removed from the list, and the result is
        ``False``, as for a path that is not listed. Raises OSError if it cannot be deleted; it stays listed then.
        """
        if not self._journal.is_ours:
            return False
        given = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link at the end
        entry = self._journal.find(given) or self._journal.find(given.parent.resolve() / given.name)
        if entry is None or entry.kind != "file":
            return False
        outcome = remove_entry(entry)
        self._journal.drop(entry.path)
        if outcome == "kept":
            logger.warning("leaving the ephemeral file %s: it was changed or replaced since", entry.path)
        return outcome == "removed"

    def delete_ephemeral(self) -> list[Path]:
        """Delete all ephemeral files, and the folders created for them that are empty; return the deleted paths.

        Missing files are fine. A file that was changed or replaced since is no longer ours: it is kept, with a warning.
        Errors are logged and do not stop the rest. The list is empty afterwards, except for what could not be deleted,
        which stays in the journal for the next start. Does nothing in a forked child.
        """
        removed: list[Path] = []
        if not self._journal.is_ours:
            return removed
        for entry in reversed([entry for entry in self._journal.entries if entry.kind != "private"]):
            try:
                outcome = remove_entry(entry)
                self._journal.drop(entry.path)
            except OSError as error:
                logger.error("cannot delete the ephemeral file %s: %s", entry.path, error)  # noqa: TRY400
                continue
            if outcome == "removed":
                removed.append(entry.path)
            elif outcome == "kept" and entry.kind == "file":
                logger.warning("leaving the ephemeral file %s: it was changed or replaced since", entry.path)
        return removed

    def _target(self, folder_type: str, subfolder: str | os.PathLike[str] | None) -> tuple[Path, tuple[str, ...]]:
        root = self._folders.get(folder_type)
        if root is None:
            raise UploadError(f"unknown folder type {folder_type!r}; use one of {', '.join(map(repr, self._folders))}")
        parts = subfolder_parts(subfolder)
        if folder_type == "models" and not parts:
            raise UploadError("'models' needs a subfolder for the kind of model: 'checkpoints', 'loras', 'vae', …")
        return root, parts

    def _place(
        self,
        source: int,
        status: os.stat_result,
        target: tuple[Path, tuple[str, ...], str],
        overwrite: bool,
        is_ephemeral: bool,
    ) -> None:
        root, parts, name = target
        for attempt in range(1, _TRIES + 1):
            try:
                with open_place(root, parts, create=True) as place:
                    self._copy_into(place, source, status, name, overwrite, is_ephemeral)
                    return
            except FileNotFoundError:
                if attempt == _TRIES:
                    raise
                os.lseek(source, 0, os.SEEK_SET)

    def _copy_into(
        self, place: Place, source: int, status: os.stat_result, name: str, overwrite: bool, is_ephemeral: bool
    ) -> None:
        existing = stat_in(name, place.fd)
        if existing is not None and os.path.samestat(existing, status):
            if is_ephemeral:
                logger.warning(
                    "%s is in place already and not a copy of ours: it will not be deleted", place.path / name
                )
            return
        if existing is not None and not overwrite:
            raise FileExistsError
        previous = self._journal.find(place.path / name)
        partial = f".discomfort-{secrets.token_hex(16)}.part"
        try:
            if is_ephemeral:
                for folder in place.created:
                    self._journal.add(JournalEntry("folder", place.root, folder, folder.lstat().st_ino))
            self._journal.add(JournalEntry("partial", place.root, place.path / partial))
            copy = _write_partial(place, partial, source, status, name)
            if is_ephemeral:
                self._journal.add(copy)
            _publish(place.fd, partial, name, overwrite)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=place.fd)
            self._forget(place, partial, name, previous)
            raise
        self._journal.drop(place.path / partial)
        if is_ephemeral:
            self._take_back_if_closed(copy)
        else:
            # An ephemeral file of the same name was just replaced by one that stays.
            self._journal.drop(place.path / name)

    def _take_back_if_closed(self, copy: JournalEntry) -> None:
        """Delete a finished copy again, and raise StateError, where :meth:`close` ran meanwhile."""
        if self._closed:
            # It took the entry off before the copy was visible, or looked before the copy was listed. Folders that were
            # made for the copy are taken back with its place.
            with contextlib.suppress(OSError):
                remove_entry(copy)
            self.delete_ephemeral()
            self._refuse_if_closed()

    def _forget(self, place: Place, partial: str, name: str, previous: JournalEntry | None) -> None:
        """Remove the entries of a failed copy. If the journal cannot be written (disk full), that is only logged."""
        try:
            for path in (place.path / partial, *place.created):
                self._journal.drop(path)
            if self._journal.find(place.path / name) != previous:
                self._journal.drop(place.path / name)
                if previous is not None:
                    self._journal.add(previous)
        except OSError as error:
            logger.warning("cannot remove %s from the journal: %s", place.path / name, error)


@contextlib.contextmanager
def _open_source(source: str | os.PathLike[str]) -> Iterator[tuple[int, os.stat_result]]:
    text = os.fspath(source)
    if "\0" in str(text):
        raise FileNotFoundError(errno.ENOENT, "a file name cannot contain a null character", text)
    fd = open_existing(text, follow_links=True)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise UploadError(f"{text!r} is {kind}; only files can be uploaded")
        yield fd, status
    finally:
        os.close(fd)


def _write_partial(place: Place, partial: str, source: int, status: os.stat_result, name: str) -> JournalEntry:
    """Return the entry of the copy under the name that it is to get."""
    fd = create(partial, 0o666, within=place.fd)
    try:
        copy_contents(source, fd)
        keep_times(status, fd)
        written = os.fstat(fd)
    finally:
        os.close(fd)
    return JournalEntry("file", place.root, place.path / name, written.st_ino, written.st_size, written.st_mtime_ns)


def _publish(folder: int, partial: str, name: str, overwrite: bool) -> None:
    """Give the finished copy its name in one step, without replacing another file unless told to."""
    if overwrite:
        os.replace(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        give_name(partial, name, within=folder)
