"""Where values are stored: memory while there is room, else disk; nothing grows, nothing stays."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from unit.context.conftest import files_of

from discomfort.context import blobs, ended_runs
from discomfort.context.capacity import RESERVE, MemoryRoom
from discomfort.context.codecs import encode
from discomfort.context.digests import PIECE, content_hash, write_digested
from discomfort.context.receipts import Receipts
from discomfort.context.records import Record, RecordTable
from discomfort.context.storage import INLINE, Storage
from discomfort.exceptions import DamagedDataError, DiskFullError, StorageFullError

ARRAY = np.arange(50_000.0)


def descriptors() -> int:
    """How many are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def put(storage: Storage, unique_id: str, value: object, *, use_ram: bool = True) -> Record:
    """Save a value, and return its record."""
    storage.commit({unique_id: storage.write(encode(value), use_ram=use_ram)})
    record = storage.record(unique_id)
    assert record is not None
    return record


def opened(storage: Storage) -> Storage:
    """The same storage as another process sees it."""
    return Storage(storage.run_id, storage.home, Receipts.open(storage.home), storage.room, None)


def test_rounds_leave_nothing(storage: Storage, memory_root: Path) -> None:
    """A thousand rounds with an image: one file, one short index, the same descriptors."""
    before = descriptors()
    for number in range(1000):
        put(storage, "image", np.full(20_000, number), use_ram=number % 3 > 0)
        put(storage, "n", number)
        assert storage.load("image")[0] == number
        assert len(files_of(memory_root)) + len(files_of(storage.home)) == 1
    assert descriptors() <= before + 1
    assert sum(storage.usage()) == encode(np.full(20_000, 999)).size + len("999")


def test_index_stays_short(storage: Storage) -> None:
    """It is written again when most of its lines are obsolete; what it says stays the same."""
    for number in range(60):
        put(storage, "text", "x" * 60_000 + str(number))
        put(storage, f"n{number % 7}", number)
    put(storage, "image", ARRAY)
    text = (storage.home / "receipts.json").read_bytes()
    index = orjson.loads(text)
    other = opened(storage)

    assert len(text) < 1_200_000
    assert (index["format"], index["run_id"]) == (1, "run")
    assert other.records() == storage.records()
    assert other.memory_folder == storage.memory_folder
    other.close()
    assert storage.load("text").endswith("59")


def test_another_process_sees_and_makes_changes(storage: Storage) -> None:
    """Through the index alone, also over its being written again."""
    other = opened(storage)
    put(storage, "a", ARRAY)
    put(other, "b", ARRAY + 1)
    put(other, "a", 5)
    assert storage.load("a") == other.load("a") == 5
    assert np.array_equal(storage.load("b"), ARRAY + 1)
    for number in range(40):
        put(storage, "text", "y" * 60_000 + str(number))
        put(other, "n", number)
        assert storage.load("n") == number
        assert other.load("text").endswith(str(number))
    other.delete("b")
    assert storage.record("b") is None
    other.close()
    assert len(files_of(storage.room.root)) == 0


@pytest.mark.parametrize("rest", [b"", b',{"set":{"a":{"stor', b',{"set":{}}\n', b"]"])
def test_killed_writer_leaves_a_sound_index(storage: Storage, rest: bytes) -> None:
    """One that another process had half written does not count, and the next one replaces it."""
    put(storage, "a", 1)
    path = storage.home / "receipts.json"
    path.write_bytes(path.read_bytes().removesuffix(b"]}\n") + rest)
    put(storage, "b", 2)

    assert set(orjson.loads(path.read_bytes())) == {"format", "run_id", "changes"}
    other = opened(storage)
    assert other.records() == storage.records()
    assert (other.load("a"), other.load("b")) == (1, 2)
    other.close()


@pytest.mark.parametrize(
    "facts",
    [
        None, [], {}, {"storage": "ram", "codec": "json", "size": 1},
        {"storage": "ram", "codec": "json", "size": 1, "file": "ram:../../etc/passwd"},
        {"storage": "disk", "codec": "json", "size": 1, "file": "disk:../" + "0" * 32},
        {"storage": "ram", "codec": "json", "size": 1, "file": f"ram:discomfort-0/../x/{'0' * 32}"},
        {"storage": "ram", "codec": "pickle", "size": 1, "text": "1"},
        {"storage": "ram", "codec": "json", "size": True, "text": "1"},
        {"storage": "tape", "codec": "json", "size": 1, "text": "1"},
        {"storage": "ram", "codec": "json", "size": 1, "text": "1", "needs": ["/etc/passwd"]},
    ],
)  # fmt: skip
def test_index_is_data(facts: Any) -> None:
    """A record that names anything outside the context's folders, or is not one, is refused."""
    with pytest.raises(DamagedDataError, match="not one of ours"):
        Record.of_json(facts)


# --- room ------------------------------------------------------------------------------------------------------------


def test_folder_in_memory_is_made_later(tmp_path: Path) -> None:
    """As soon as there is a place for it, and other processes learn of it."""
    room = MemoryRoom(1 << 40, tmp_path / "shm", lambda: 1 << 40)
    storage = Storage.create(tmp_path / "disk", "run", room)
    other = opened(storage)
    assert put(other, "a", ARRAY).storage == "disk"
    (tmp_path / "shm").mkdir()
    assert put(storage, "a", ARRAY).storage == "ram"
    assert put(other, "b", ARRAY).storage == "ram"
    other.close()
    storage.close()


def small_storage(tmp_path: Path, free: int, available: int = 1 << 40, limit: int = 1 << 40) -> Storage:
    """A storage with so many bytes left in the file system in memory and in the machine."""
    (tmp_path / "memory").mkdir(exist_ok=True)
    room = MemoryRoom(limit, tmp_path / "memory", lambda: free, lambda: available)
    return Storage.create(tmp_path / "disk", "run", room)


@pytest.mark.parametrize(
    ("free", "available", "limit", "place"),
    [
        (RESERVE + 1_000_000, 1 << 40, 1 << 40, "ram"),
        (4_000_000, 1 << 40, 1 << 40, "disk"),
        (0, 1 << 40, 1 << 40, "disk"),
        (1 << 40, RESERVE, 1 << 40, "disk"),
        (1 << 40, 1 << 40, 100_000, "disk"),
    ],
    ids=["enough", "4 MB of shared memory", "no file system", "no memory", "limit of the context"],
)
def test_room_decides(tmp_path: Path, free: int, available: int, limit: int, place: str) -> None:
    """Memory if all three have room, else disk; everything works the same."""
    storage = small_storage(tmp_path, free, available, limit)
    for number in range(3):
        record = put(storage, "a", ARRAY + number)
        assert record.storage == place
        assert storage.load("a")[0] == number
    put(storage, "small", {"n": 1})
    assert storage.load("small") == {"n": 1}
    storage.close()
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("is_file", [False, True])
def test_without_a_file_system_in_memory(tmp_path: Path, is_file: bool) -> None:
    """As on a Mac, or where a folder cannot be made in it: disk, and nothing is made in its place."""
    if is_file:
        (tmp_path / "shm").write_text("")
    room = MemoryRoom(1 << 40, tmp_path / "shm", lambda: 1 << 40)
    storage = Storage.create(tmp_path / "disk", "run", room)
    assert put(storage, "a", ARRAY).storage == "disk"
    assert np.array_equal(storage.load("a"), ARRAY)
    storage.close()
    assert not (tmp_path / "shm").is_dir()


def test_values_of_a_view_take_room(tmp_path: Path) -> None:
    """Also before they have an id, so that many writers together stay below the limit."""
    storage = small_storage(tmp_path, 1 << 40, limit=1_000_000)
    records = [storage.write(encode(ARRAY), use_ram=True) for _ in range(3)]
    assert [record.storage for record in records] == ["ram", "ram", "disk"]
    for record in records:
        storage.drop(record)
    assert put(storage, "a", ARRAY).storage == "ram"
    storage.close()


class FullPieces:
    """A value whose last piece does not fit on the disk any more."""

    def __init__(self, number: int) -> None:
        self.codec, self.size, self.number = "tensors", 1000, number

    def pieces(self) -> Any:
        """Some bytes, then the error."""
        yield b"x" * 500
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(tmp_path: Path, storage: Storage, number: int) -> None:
    """The typed error; MemoryError only if memory has no room either. Nothing is left, and the older value stays."""
    put(storage, "a", 1)
    with pytest.raises(DiskFullError) as caught:
        put_pieces(storage, FullPieces(number), use_ram=False)
    assert not isinstance(caught.value, MemoryError)
    with pytest.raises(StorageFullError, match="Delete or export values") as both:
        put_pieces(storage, FullPieces(number), use_ram=True)
    assert isinstance(both.value, MemoryError)
    assert both.value.errno == number
    assert storage.load("a") == 1
    assert files_of(tmp_path) == []
    assert list(tmp_path.rglob("*.part")) == []


def put_pieces(storage: Storage, pieces: FullPieces, *, use_ram: bool) -> None:
    """Save something that is already encoded."""
    storage.commit({"a": storage.write(pieces, use_ram=use_ram)})  # type: ignore[arg-type]


def test_size_of_the_index(storage: Storage) -> None:
    """JSON up to 64 KiB is in the index, more of it in a file."""
    assert put(storage, "a", "x" * (INLINE - 2)).file is None
    assert put(storage, "a", "x" * (INLINE - 1)).file is not None
    assert storage.load("a") == "x" * (INLINE - 1)


def test_files_appear_complete(memory_root: Path) -> None:
    """While it is written a file has another name; if that fails it is gone."""
    seen: list[list[str]] = []

    def pieces() -> Any:
        yield b"a" * 10
        seen.append([path.suffix for path in memory_root.iterdir()])
        yield b"b" * 10

    name = blobs.write_blob(memory_root, pieces(), 20, reserved=True)
    assert seen == [[".part"]]
    assert bytes(blobs.read_blob(memory_root / name)) == b"a" * 10 + b"b" * 10
    (memory_root / ("0" * 32)).symlink_to(memory_root / name)
    with pytest.raises(OSError, match="symbolic links"):
        blobs.read_blob(memory_root / ("0" * 32))


def test_many_loaded_arrays_keep_few_descriptors(storage: Storage) -> None:
    """A thousand of them may be held at once."""
    put(storage, "a", ARRAY)
    before = descriptors()
    arrays = [storage.load("a") for _ in range(600)]
    assert descriptors() - before < 300
    assert all(array[-1] == ARRAY[-1] for array in arrays)


def test_digest_is_of_the_content(storage: Storage) -> None:
    """Equal values have the same; it survives in no other value."""
    first, second = put(storage, "a", ARRAY), put(storage, "b", ARRAY.copy())
    third = put(storage, "c", ARRAY + 1)
    small, same = put(storage, "d", {"n": 1}), put(storage, "e", {"n": 1})

    assert storage.digest(first) == storage.digest(second) != storage.digest(third)
    assert storage.digest(small) == storage.digest(same)


def test_digest_of_long_data() -> None:
    """Of all of it, in order; not that of what its pieces' digests would be as data."""
    data = np.random.default_rng(0).bytes(5 << 20)
    others = [data[:-1], data + b"\0", data[1 << 20 :] + data[: 1 << 20], bytes(len(data)), b"", data[: 1 << 20]]
    found = {content_hash(each) for each in (data, *others)}
    assert len(found) == 7
    assert content_hash(memoryview(bytearray(data))) == content_hash(data)
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in found)


@pytest.mark.parametrize("size", [10_000, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE // 2])
@pytest.mark.parametrize("use_ram", [True, False])
def test_digest_while_it_is_written(storage: Storage, size: int, use_ram: bool) -> None:
    """The same as that of the file afterwards."""
    data = np.random.default_rng(1).integers(0, 255, size, np.uint8)
    early = storage.write(encode(data), use_ram=use_ram, is_digested=True)
    late = storage.write(encode(data), use_ram=use_ram)

    known = storage._digests.get(early.file or "")
    assert known == storage.digest(early) == storage.digest(late)
    assert known == content_hash(blobs.read_blob(storage.path_of(late.file or "")))
    storage.drop(early)
    storage.drop(late)
    assert storage._digests == {}


def test_failure_while_it_is_digested(memory_root: Path) -> None:
    """The file goes."""
    written: list[int] = []

    def pieces() -> Any:
        yield bytes(3 * PIECE)
        raise OSError(errno.ENOSPC, "full")

    def write(descriptor: int, given: Any) -> None:
        try:
            write_digested(descriptor, given)
        finally:
            written.append(os.fstat(descriptor).st_size)

    with pytest.raises(OSError, match="full"):
        blobs.write_blob(memory_root, pieces(), 4 * PIECE, reserved=False, write=write)
    assert written == [3 * PIECE]
    assert list(memory_root.iterdir()) == []


@pytest.mark.parametrize("sizes", [[PIECE + 1], [192, 3 * PIECE], [1, PIECE - 1, 0, 5, PIECE, 7], [100] * 20_000])
def test_digested_in_any_pieces(tmp_path: Path, sizes: list[int]) -> None:
    """The file has all bytes in order, and the digest is that of its content."""
    data = np.random.default_rng(2).bytes(sum(sizes))
    ends = np.cumsum(sizes).tolist()
    pieces = [data[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    with (tmp_path / "file").open("w+b") as stream:
        found = write_digested(stream.fileno(), pieces)
    assert (tmp_path / "file").read_bytes() == data
    assert found == content_hash(data)


def test_clearing(storage: Storage, memory_root: Path) -> None:
    """No value and no file is left; what is pinned goes with the pin."""
    storage.clear()
    for unique_id in "abc":
        put(storage, unique_id, ARRAY)
    put(storage, "n", 1)
    with storage.holding("a"):
        storage.clear()
        assert (storage.records(), storage.usage()) == ({}, (0, 0))
        assert len(files_of(memory_root)) == 1
    assert files_of(memory_root) == []
    put(storage, "n", 2)
    assert storage.load("n") == 2


def test_marks_of_ended_runs_do_not_grow(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest are kept."""
    monkeypatch.setattr(ended_runs, "_MOST", 3)
    for number in range(10):
        storage.sweep(f"{number:016x}")
    marks = sorted(path.name for path in storage.home.iterdir() if path.name.startswith("ended-"))
    assert marks == [f"ended-{number:016x}" for number in (7, 8, 9)]


def test_table_counts_uses() -> None:
    """A file goes when neither a record, nor one that refers to it, nor a pin needs it."""
    table = RecordTable()
    one, two = (Record("disk", "tensors", 10, file=f"disk:{digit * 32}") for digit in "12")
    reference = Record("ram", "json", 1, "ref", text="{}", needs=(one.file or "",))
    assert table.apply({"a": one, "r": reference}) == []
    assert table.apply({"a": two}) == []
    pin = table.pin([two])
    assert table.apply({}, ["r"]) == [one.file]
    assert table.apply({}, ["a", "unknown"]) == []
    assert (table.ram_bytes, table.disk_bytes, len(table)) == (0, 0, 0)
    assert table.unpin(pin) == [two.file]
