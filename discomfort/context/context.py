"""The public class of contexts."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from discomfort.context import folders
from discomfort.context.capacity import MemoryRoom
from discomfort.context.codecs import encode
from discomfort.context.context_settings import check_run_id, load_context_settings
from discomfort.context.end_watchers import EndWatchers
from discomfort.context.export import check_destination, export
from discomfort.context.receipts import FILENAME
from discomfort.context.recipes import as_given, check_recipe, needed_blobs
from discomfort.context.records import Record, passed_by
from discomfort.context.run_view import RunView
from discomfort.context.storage import Storage
from discomfort.exceptions import StateError

_LONGEST_ID = 1000


class WorkflowContext:
    """Values by id, kept between runs: in memory as far as there is room, else on disk, until :meth:`shutdown`.

    Example::

        with WorkflowContext(max_ram_gb=4.0) as context:
            context.save("seed", 42)
            seed = context.load("seed")

    It stores numbers, texts, bytes, numpy arrays, torch tensors, Pillow pictures, and lists, tuples, sets and
    dictionaries of these, such as ComfyUI's LATENT, AUDIO and CONDITIONING. What :meth:`load` returns is a copy: to
    change it does not change the context. Tensors come back as torch tensors where torch can be imported, else as numpy
    arrays.

    All methods may be called from any thread, and do their work in it. Large arrays are mapped rather than read, so
    they cost nothing until they are used. The values are private to this user. They are gone after :meth:`shutdown`,
    when nothing refers to the context any more, and at the end of the program. If that was killed, they go within
    seconds if it had a connector, else when the next context or connector is made.

    Args:
        config_path: another ``workflow_context.json``.
        max_ram_gb: the most memory that values may take, in 10⁹ bytes; goes before the file.
        run_id: the name of the context: 1 to 64 letters, digits and ``._-``, not a dot first. Default: a random one.
        create: make a new context, or open the living one called ``run_id``, of this or another process. Both see
            what either saves. Only the one that made it removes it.

    Raises:
        FileNotFoundError: ``config_path`` does not exist, or with ``create=False`` there is no such context.
        FileExistsError: a living context has this ``run_id``.
        ConfigurationError: a setting is wrong.
        ValueError: ``run_id`` is not such a name, or is missing with ``create=False``.
    """

    def __init__(
        self,
        config_path: str | os.PathLike[str] | None = None,
        max_ram_gb: float | None = None,
        run_id: str | None = None,
        create: bool = True,
    ) -> None:
        if run_id is None and not create:
            raise ValueError("create=False needs the run_id of the context to open")
        self._run_id = uuid.uuid4().hex if run_id is None else check_run_id(run_id)
        settings = load_context_settings(config_path)
        self._tensor_kind = settings.tensors
        room = MemoryRoom(settings.ram_limit(max_ram_gb))
        root = folders.disk_root(settings.contexts_dir_name)
        self._is_creator, self._pid = create, os.getpid()
        self._storage = (Storage.create if create else Storage.open)(root, self._run_id, room)
        self._is_shut_down = False
        self._end_watchers = EndWatchers()

    @property
    def run_id(self) -> str:
        """The name of the context."""
        return self._run_id

    @property
    def receipt_path(self) -> str:
        """The file ``receipts.json``, which says what is stored where."""
        return str(self._storage.home / FILENAME)

    def save(self, unique_id: str, data: object, use_ram: bool = True, pass_by: Literal["val", "ref"] = "val") -> None:
        """Store a value, and replace an older one of this id. If that fails, the older one stays.

        It goes to memory if it fits, else to disk, with a warning in the log; with ``use_ram=False`` to disk. JSON up
        to 64 KiB is kept in the index. With ``pass_by="ref"``, ``data`` is a :class:`Reference`, or a workflow or
        prompt with an output port of this id, which makes the value when a run needs it.

        Raises:
            UnsupportedValueError: something in ``data`` cannot be stored; the place in it is named. A TypeError.
            ValueError: the id is empty or too long, ``pass_by`` is something else, or there is no such port.
            DiskFullError: the disk is full; StorageFullError, which is also a MemoryError, if memory is full too.
            StateError: after :meth:`shutdown`.
        """
        unique_id = checked_id(unique_id)
        if pass_by not in ("val", "ref"):
            raise ValueError(f"pass_by must be 'val' or 'ref', not {pass_by!r}")
        storage = self._open_storage()
        if pass_by == "ref":
            check_recipe(data, unique_id)
        needs = storage.needed_files(needed_blobs(data))
        record = passed_by(storage.write(encode(data), use_ram=use_ram), pass_by, needs)
        storage.commit({unique_id: record})

    def load(self, unique_id: str) -> Any:
        """The value of an id, as a copy. By reference it is the :class:`Reference`, or the workflow that was saved.

        Raises:
            KeyError: there is none.
            DamagedDataError: another program changed or removed its file.
            StateError: after :meth:`shutdown`.
        """
        storage = self._open_storage()
        key = _id_of(unique_id)
        try:
            return as_given(storage.load(key, self._tensor_kind))
        except LookupError:
            raise self._missing(unique_id) from None

    def get_storage_info(self, unique_id: str) -> dict[str, Any] | None:
        """Where a value is; ``None`` if there is none, and after :meth:`shutdown`.

        The keys: ``storage_type`` (``"ram"`` or ``"disk"``), ``size`` in bytes, ``pass_by`` (``"val"`` or ``"ref"``),
        and ``shm_name``, a path below ``/dev/shm``, ``None`` for a small value in the index; or ``path`` on disk.
        """
        if self._is_closed():
            return None
        record = self._storage.record(_id_of(unique_id))
        if record is None:
            return None
        facts: dict[str, Any] = {"storage_type": record.storage, "size": record.size, "pass_by": record.pass_by}
        if record.storage == "disk":
            return {**facts, "path": str(self._storage.path_of(record.file or ""))}
        return {**facts, "shm_name": None if record.file is None else record.file.partition(":")[2]}

    def list_keys(self) -> list[str]:
        """All ids, in the order in which they were first saved. Empty after :meth:`shutdown`."""
        return [] if self._is_closed() else list(self._storage.records())

    def get_usage(self) -> dict[str, Any]:
        """How much is stored. All zero after :meth:`shutdown`.

        The keys: ``ram_usage_bytes``, ``ram_capacity_bytes``, ``ram_usage_gb`` and ``ram_capacity_gb`` (10⁹ bytes, 3
        decimals), ``temp_disk_usage_bytes``, ``temp_disk_usage_mb`` (1024² bytes, 2 decimals), ``stored_keys_count``.
        """
        closed = self._is_closed()
        ram, disk = (0, 0) if closed else self._storage.usage()
        capacity = 0 if closed else self._storage.room.limit
        return {
            "ram_usage_bytes": ram,
            "ram_capacity_bytes": capacity,
            "ram_usage_gb": round(ram / 1e9, 3),
            "ram_capacity_gb": round(capacity / 1e9, 3),
            "temp_disk_usage_bytes": disk,
            "temp_disk_usage_mb": round(disk / 1024**2, 2),
            "stored_keys_count": 0 if closed else len(self._storage.records()),
        }

    def export_data(self, unique_id: str, destination_path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a value to a file, and remove it from the context once the file is complete and safe.

        The suffixes ``.npy``, ``.safetensors``, ``.png`` and ``.json`` choose those formats; every other name gets a
        pickle, which only you should load. Missing folders are made. If anything fails, the value stays.

        Raises:
            KeyError: there is no such value.
            UnsupportedValueError: it is a reference, or the format cannot hold it. A TypeError.
            FileExistsError: the file exists and ``overwrite`` is false.
            OSError: it cannot be written; DiskFullError, if the disk is full.
            DamagedDataError: another program changed or removed its file.
            StateError: after :meth:`shutdown`.
        """
        storage = self._open_storage()
        record = self._record(unique_id)
        destination = Path(destination_path)
        if record.pass_by == "ref":
            raise TypeError(f"{unique_id!r} is a reference: a workflow that makes the value. Export a value instead")
        check_destination(destination, overwrite=overwrite)
        with storage.holding(_id_of(unique_id)) as held:
            if held is None:
                raise self._missing(unique_id)
            export(storage.held_value(held, self._tensor_kind), destination, overwrite=overwrite)
            # A value that was saved meanwhile was not exported.
            storage.delete(_id_of(unique_id), only=held)

    def delete(self, unique_id: str) -> None:
        """Remove a value. Raises KeyError if there is none, StateError after :meth:`shutdown`."""
        storage = self._open_storage()
        if storage.delete(_id_of(unique_id)) is None:
            raise self._missing(unique_id)

    def _view(self) -> RunView:
        """What one run reads and writes: a snapshot, and changes that count all at once."""
        return RunView(self._open_storage(), self._tensor_kind)

    @contextmanager
    def _watched(self, ended: Callable[[], None]) -> Iterator[None]:
        """A block in which ``ended`` is called, in any thread, when this process shuts the context down."""
        with self._end_watchers.watched(ended), self._storage.end_watchers.watched(ended):
            yield

    def _is_usable(self) -> bool:
        """Whether it is open, and its folders are still there."""
        home, memory = self._storage.home, self._storage.memory_folder
        return not self._is_closed() and home.exists() and (memory is None or memory.exists())

    def _share_anew(self) -> None:
        """Take the share of memory that a new context of these settings would get now."""
        self._storage.room = MemoryRoom(load_context_settings().ram_limit())

    def _clear(self) -> None:
        """Remove all values. Raises what :meth:`save` raises."""
        self._open_storage().clear()

    def shutdown(self) -> None:
        """Remove everything, if this object made the context; else only close it. Safe to call twice, in any thread.

        Runs of this process that work with it raise StateError at once; those of another one, when they next need it.
        Arrays that were loaded stay valid. In a forked child nothing is removed.
        """
        if self._is_shut_down:
            return
        self._is_shut_down = True
        self._end_watchers.tell()
        if self._is_creator and self._pid == os.getpid():
            self._storage.close()

    def __getitem__(self, unique_id: str) -> Any:
        return self.load(unique_id)

    def __contains__(self, unique_id: object) -> bool:
        if self._is_closed() or not isinstance(unique_id, str):
            return False
        return self._storage.record(_id_of(unique_id)) is not None

    def __len__(self) -> int:
        return len(self.list_keys())

    def __bool__(self) -> bool:
        # An empty context is not "no context".
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        count = len(self)
        state = "shut down" if self._is_closed() else f"{count} value{'' if count == 1 else 's'}"
        return f"<WorkflowContext {self._run_id}: {state}>"

    def _is_closed(self) -> bool:
        return self._is_shut_down or self._storage.is_closed

    def _open_storage(self) -> Storage:
        if self._is_closed():
            raise self._end_error()
        return self._storage

    def _end_error(self) -> StateError:
        return StateError(f"the context {self._run_id!r} was shut down; make a new one")

    def _record(self, unique_id: str) -> Record:
        record = self._storage.record(_id_of(unique_id))
        if record is None:
            raise self._missing(unique_id)
        return record

    def _missing(self, unique_id: object) -> KeyError:
        keys = self.list_keys()
        shown = ", ".join(map(repr, keys[:10])) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
        return KeyError(f"the context has no value {unique_id!r}; it has {shown or 'none'}")


def _id_of(unique_id: object) -> str:
    """The id as it is stored: ports are compared without the spaces around their ids, so values are, too."""
    return unique_id.strip() if isinstance(unique_id, str) else ""


def checked_id(unique_id: object) -> str:
    """The id of a variable without the spaces around it. Raises TypeError, ValueError."""
    if not isinstance(unique_id, str):
        raise TypeError(f"unique_id must be a text, not {type(unique_id).__name__}")
    stripped = unique_id.strip()
    if not stripped or len(stripped) > _LONGEST_ID:
        raise ValueError(f"unique_id must have 1 to {_LONGEST_ID} characters, not {len(stripped)}")
    try:
        stripped.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"unique_id {stripped!r} is not text: it has half a character") from error
    return stripped
