"""The loader and the saver, in a process that sees the files of a context as a server does."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from unit.context.value_trees import VALUES, same
from unit.nodes.conftest import inputs_of, written

from discomfort.context.exchange import ServerPlaces
from discomfort.context.storage import Storage
from discomfort.context.trees import NodeList
from discomfort.exceptions import DamagedDataError, DiskFullError, StateError, UnsupportedValueError
from discomfort.nodes import server_values
from discomfort.nodes.context_loader import DiscomfortContextLoader
from discomfort.nodes.context_saver import DiscomfortContextSaver

IMAGE = np.arange(3 * 64 * 64, dtype=np.float32).reshape(1, 64, 64, 3)
NONCE = "00112233445566778899aabbccddeeff"
LOADER = "DiscomfortContextLoader"


def load(**inputs: Any) -> Any:
    """The items that a loader gives."""
    return DiscomfortContextLoader().load_data(**inputs)[0]


def save(*items: Any, **options: Any) -> dict[str, Any]:
    """The record of a saver which those items reach."""
    given = {"run_id": "run", "nonce": NONCE, "room": 1 << 30, "mode": "val", **options}
    returned = DiscomfortContextSaver().save_output(
        unique_id=["x"], input_data=list(items), **{name: [value] for name, value in given.items()}
    )
    (record,) = json.loads(json.dumps(returned))["ui"]["discomfort"]
    assert isinstance(record, dict)
    return record


def loaded(record: dict[str, Any]) -> Any:
    """The items that a loader gives of what a saver stored."""
    names = ("blob", "codec", "storage", "text")
    return load(run_id="run", unique_id="x", **{name: record[name] or "" for name in names})


@pytest.mark.usefixtures("places")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=VALUES)
def test_values_survive(storage: Storage, value: Any) -> None:
    """Whatever a context can hold, from a saver to a loader; a list output stays one."""
    record = save(value)
    items = loaded(record)
    expected = value if isinstance(value, NodeList) else [value]
    assert same(list(expected), items)
    assert record["is_list"] is False
    if record["blob"]:
        adopted = storage.adopt(record["storage"], record["blob"], record["codec"], record["size"])
        assert same(storage.value_of(adopted), value)
        storage.drop(adopted)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("items", [[], [1, 2, 3], [IMAGE, IMAGE + 1]], ids=["empty", "numbers", "images"])
def test_list_outputs_are_lists_again(storage: Storage, items: list[Any]) -> None:
    """All items are stored, and each is an item of its own behind the loader; in Python they are a NodeList."""
    record = save(*items)
    assert record["is_list"] is True
    assert same(loaded(record), items)


@pytest.mark.usefixtures("places")
def test_list_of_one_item(storage: Storage) -> None:
    """A slot that the definitions call a list gives one; any other slot the item itself, a plain list one value."""
    assert save(5, is_list=True)["text"] == '{"$":"node list","v":[5]}'
    assert save(5)["text"] == "5"
    assert loaded(save([1, 2])) == [[1, 2]]
    assert load(run_id="run", unique_id="x", text="[1,2]", is_list=True) == [1, 2]


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("use_ram", [True, False])
def test_values_of_the_client(storage: Storage, use_ram: bool) -> None:
    """A file in memory, or on disk."""
    record = written(storage, {"samples": IMAGE}, use_ram=use_ram)
    assert record.storage == ("ram" if use_ram else "disk")
    assert same(load(**inputs_of(record)), [{"samples": IMAGE}])


@pytest.mark.usefixtures("places")
def test_what_is_loaded_can_be_changed(storage: Storage) -> None:
    """In place, without a change of the stored value."""
    record = written(storage, IMAGE)
    (image,) = load(**inputs_of(record))
    image += 1
    assert np.array_equal(load(**inputs_of(record))[0], IMAGE)


@pytest.mark.usefixtures("places")
def test_place_in_the_meta(storage: Storage) -> None:
    """The loader finds its file in the prompt, by variable and digest, so that no name is among its inputs."""
    records = {digest: written(storage, IMAGE + number) for number, digest in enumerate(("aa", "bb"))}
    prompt: dict[str, Any] = {"9": {"class_type": "Other", "inputs": {"unique_id": "x", "digest": "aa"}, "_meta": 5}}
    for digest, record in records.items():
        told = {name: value for name, value in inputs_of(record).items() if name in ("run_id", "blob", "storage")}
        prompt[digest] = {
            "class_type": LOADER,
            "inputs": {"run_id": "", "unique_id": "x", "digest": digest, "codec": "tensors"},
            "_meta": {"title": "x", "discomfort": told},
        }
    (image,) = load(run_id="", unique_id="x", digest="bb", codec="tensors", prompt=prompt)
    assert np.array_equal(image, IMAGE + 1)
    with pytest.raises(StateError, match="'y' has no value"):
        load(run_id="", unique_id="y", digest="bb", codec="tensors", prompt=prompt)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    "meta", [None, 5, {}, {"discomfort": 5}, {"discomfort": {"blob": 5}}, {"discomfort": {"blob": ""}}]
)
def test_other_meta(meta: object) -> None:
    """What another program put there is no place."""
    prompt = {"1": {"class_type": LOADER, "inputs": {"unique_id": "x", "digest": "aa"}, "_meta": meta}}
    with pytest.raises((StateError, DamagedDataError), match="'x'"):
        load(run_id="", unique_id="x", digest="aa", codec="tensors", prompt=prompt)


@pytest.mark.usefixtures("places")
def test_several_places(storage: Storage) -> None:
    """Loaders of references come along in a prompt, and theirs may be gone: any place of the same content serves."""
    gone, kept = written(storage, IMAGE), written(storage, IMAGE)
    storage.drop(gone)
    prompt = {
        str(number): {
            "class_type": LOADER,
            "inputs": {"run_id": "", "unique_id": "x", "digest": "aa", "codec": "tensors"},
            "_meta": {"discomfort": inputs_of(record)},
        }
        for number, record in enumerate((gone, kept, gone))
    }
    (image,) = load(run_id="", unique_id="x", digest="aa", codec="tensors", prompt=prompt)
    assert np.array_equal(image, IMAGE)
    with pytest.raises(StateError, match="is gone"):
        load(run_id="", unique_id="x", digest="aa", codec="tensors", prompt={"0": prompt["0"]})


@pytest.mark.usefixtures("places")
def test_room(storage: Storage) -> None:
    """Savers of one run share the room in memory; what does not fit goes to disk, as does all without ``use_ram``."""
    size = save(IMAGE, nonce="a" * 32)["size"]
    stored = [save(IMAGE + n, nonce="b" * 32, room=2 * size)["storage"] for n in range(4)]
    assert stored == ["ram", "ram", "disk", "disk"]
    assert save(IMAGE, nonce="c" * 32, use_ram=False)["storage"] == "disk"
    assert save(IMAGE, nonce="d" * 32, room=0)["storage"] == "disk"
    assert save(7, room=0) | {"nonce": ""} == save(7, use_ram=False) | {"nonce": ""}


@pytest.mark.usefixtures("places")
def test_memory_that_is_full(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs left there is not taken to the last byte; the value goes to disk."""
    size = save(IMAGE)["size"]
    for free, expected in ((size + (16 << 20), "ram"), (size + (16 << 20) - 1, "disk"), (0, "disk")):
        monkeypatch.setattr(
            server_values.shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(1, 1, free)
        )
        assert save(IMAGE)["storage"] == expected


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_that_is_full(storage: Storage, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The saver raises, also with ``auto``; small values need no disk."""

    def full(*_: object, **__: object) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(server_values, "write_blob", full)
    with pytest.raises(DiskFullError, match="is full"):
        save(IMAGE, mode="auto")
    assert save("a")["text"] == '"a"'


@pytest.mark.usefixtures("places")
def test_memory_folder_may_have_another_name(storage: Storage) -> None:
    """It has where a context of that id lives elsewhere; the folder on disk is that of the id."""
    folder = storage.memory_folder
    assert folder is not None
    folder.rename(folder.with_name("run-2"))
    assert save(IMAGE)["storage"] == "disk"
    record = save(IMAGE, memory="run-2")
    assert record["storage"] == "ram"
    inputs = {"run_id": "run", "unique_id": "x", "blob": record["blob"], "codec": "tensors", "storage": "ram"}
    assert same(load(**inputs, memory="run-2"), [IMAGE])
    (folder.with_name("run-2")).rename(folder)


@pytest.mark.usefixtures("places")
def test_what_no_codec_holds(storage: Storage) -> None:
    """With ``auto`` the record says so; with ``val`` the error names variable, kind and remedy."""
    record = save(object(), mode="auto")
    assert (record["codec"], record["blob"], record["text"], record["digest"]) == (None, None, None, None)
    with pytest.raises(UnsupportedValueError, match=r"'x' cannot be passed by value: .*object.*'ref' or 'auto'"):
        save(object())
    with pytest.raises(UnsupportedValueError, match=r"\[1\]"):
        save(1, object())


@pytest.mark.usefixtures("places")
def test_digests(storage: Storage) -> None:
    """The same for the same objects, and for equal small values; another for another object or shape of the value."""
    image, other = IMAGE.copy(), IMAGE.copy()
    first = save(image)["digest"]
    assert save(image, nonce="1" * 32)["digest"] == first
    assert save({"samples": image})["digest"] == save({"samples": image})["digest"] != first
    assert save(other)["digest"] not in (first, save(image[None])["digest"])
    assert save("a")["digest"] == save("a")["digest"] != save("b")["digest"]
    assert save(b"x" * 5000)["digest"] != save(b"x" * 5000)["digest"]


@pytest.mark.usefixtures("places")
def test_digest_of_a_new_object_at_the_same_address(storage: Storage) -> None:
    """An object that is gone is not taken for the one that lies there now."""
    seen, addresses = set(), set()
    for number in range(50):
        image = IMAGE + number
        addresses.add(id(image))
        seen.add(save(image)["digest"])
        del image
    assert len(seen) == 50
    assert len(addresses) < 50


@pytest.mark.usefixtures("places")
def test_names_begin_with_the_nonce(storage: Storage) -> None:
    """So the client finds what a failed run has left, and removes all but what it keeps."""
    names = [save(IMAGE + n, use_ram=n % 2 == 0)["blob"] for n in range(4)]
    assert all(name.startswith(NONCE[:16]) for name in names)
    other = save(IMAGE, nonce="f" * 32)["blob"]
    kept = storage.adopt("ram", names[0], "tensors", save(IMAGE, nonce="e" * 32)["size"])
    storage.commit({"kept": kept})
    assert storage.memory_folder is not None
    (storage.home / (names[1] + ".part")).touch()
    storage.sweep(NONCE[:16])
    found = {path.name for folder in (storage.home, storage.memory_folder) for path in folder.iterdir()}
    assert found & {*names, names[1] + ".part"} == {names[0]}
    assert {other, "receipts.json", "owner"} <= found


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("use_ram", [True, False])
def test_saver_that_is_late(storage: Storage, use_ram: bool) -> None:
    """The client has given the run up, and looked for its files: none is left, and other runs are as ever."""
    storage.sweep(NONCE[:16])
    before = set(storage.home.iterdir()) | set(storage.memory_folder.iterdir() if storage.memory_folder else ())
    with pytest.raises(StateError, match="the run has ended"):
        save(IMAGE, use_ram=use_ram)
    assert set(storage.home.iterdir()) | set(storage.memory_folder.iterdir() if storage.memory_folder else ()) == before
    assert save(IMAGE, nonce="f" * 32, use_ram=use_ram)["blob"]


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("nonce", ["", "short", "../" * 8, "A" * 32, "0" * 65])
def test_other_nonces(storage: Storage, nonce: str) -> None:
    """They are no part of a name."""
    assert not nonce or not save(IMAGE, nonce=nonce)["blob"].startswith(nonce[:4])


def test_adopted_digest(storage: Storage, places: ServerPlaces) -> None:
    """The server's digest counts for a value that it stored: nothing is read again."""
    record = save(IMAGE)
    adopted = storage.adopt("ram", record["blob"], "tensors", record["size"], record["digest"])
    assert storage.digest(adopted) == record["digest"]
    storage.drop(adopted)


@pytest.mark.parametrize("variable", [None, "", "{}", "not JSON"])
def test_server_that_nobody_told(storage: Storage, monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    """A saver raises, and so does a loader; small values need no file."""
    record = written(storage, IMAGE)
    if variable is None:
        monkeypatch.delenv("DISCOMFORT_CONTEXTS", raising=False)
    else:
        monkeypatch.setenv("DISCOMFORT_CONTEXTS", variable)
    with pytest.raises(StateError, match="DISCOMFORT_CONTEXTS|not started by Discomfort"):
        load(**inputs_of(record))
    with pytest.raises(StateError, match="DISCOMFORT_CONTEXTS|not started by Discomfort"):
        save(IMAGE)
    assert loaded(save([1, "a"])) == [[1, "a"]]


@pytest.mark.usefixtures("places")
def test_server_writes_no_index(storage: Storage) -> None:
    """D26: loaders and savers neither read nor write it, so they wait for no lock, and cannot come in a wrong order."""
    index = storage.home / "receipts.json"
    before = index.read_bytes()
    with index.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        records = [save(IMAGE + number) for number in range(3)]
        assert [float(loaded(record)[0][0, 0, 0, 0]) for record in records] == [0, 1, 2]
    assert index.read_bytes() == before
