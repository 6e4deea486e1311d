"""What prompts cannot make the nodes do: read or write anything but values of contexts of this user."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.nodes.conftest import TOKEN, inputs_of, written

from discomfort.context import folders
from discomfort.context.exchange import VARIABLE, VERSION, Handshake, ServerPlaces, is_folder_name
from discomfort.context.probe import Probe
from discomfort.context.storage import Storage
from discomfort.exceptions import DamagedDataError, StateError
from discomfort.nodes.context_loader import DiscomfortContextLoader
from discomfort.nodes.context_saver import DiscomfortContextSaver
from discomfort.nodes.server_values import handshake

IMAGE = np.ones((1, 8, 8, 3), np.float32)
NAMES = ["..", ".", "", "../run", "run/../run", "/etc", "run\0", "run/", "a b", ".hidden", "r" * 82, "ünï", "run\n"]


def load(**inputs: Any) -> Any:
    return DiscomfortContextLoader().load_data(**inputs)[0]


def save(**options: Any) -> Any:
    lists = {name: [value] for name, value in {"run_id": "run", "room": 1 << 30, **options}.items()}
    return DiscomfortContextSaver().save_output(unique_id=["x"], input_data=[IMAGE], **lists)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("name", NAMES)
def test_names_of_folders(storage: Storage, name: str) -> None:
    """A folder is named, never a path; an empty name means the usual one."""
    inputs = inputs_of(written(storage, IMAGE))
    on_disk = inputs_of(written(storage, IMAGE, use_ram=False))
    attempts = [{**inputs, "run_id": name}, {**on_disk, "run_id": name}]
    attempts += [{**inputs, "memory": name}, {**on_disk, "contexts": name}] if name else []
    for attempt in attempts:
        with pytest.raises(DamagedDataError, match="is not the name of a context"):
            load(**attempt)
    with pytest.raises(DamagedDataError, match="is not the name of a context"):
        save(run_id=name)
    if name:
        with pytest.raises(DamagedDataError, match="is not the name of a context"):
            save(contexts=name, use_ram=False)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    "name",
    [
        "../" * 10,
        "owner",
        "receipts.json",
        "F" * 32,
        "0" * 31,
        "0" * 33,
        "0" * 31 + "/",
        "0" * 31 + "\0",
        "0" * 32 + "\n",
    ],
)
def test_names_of_files(storage: Storage, name: str) -> None:
    """Only the names that values have."""
    with pytest.raises(DamagedDataError, match="is not the name of a value"):
        load(run_id="run", unique_id="x", blob=name, codec="json", storage="disk")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("storage_type", ["", "tmp", "RAM", 5, ["ram"], None])
def test_other_storage(storage: Storage, storage_type: Any) -> None:
    """There are two; nothing means memory."""
    inputs = inputs_of(written(storage, IMAGE)) | {"storage": storage_type}
    if not storage_type:
        assert np.array_equal(load(**inputs)[0], IMAGE)
    else:
        with pytest.raises(DamagedDataError, match="neither 'ram' nor 'disk'"):
            load(**inputs)


def test_links_are_not_followed(storage: Storage, places: ServerPlaces, tmp_path: Path) -> None:
    """Neither to files, nor to the folder of a context or of all contexts, nor to the root."""
    name, outside = "0" * 32, tmp_path / "outside"
    (outside / "contexts" / "run").mkdir(parents=True, mode=0o700)
    outside.chmod(0o700), (outside / "contexts").chmod(0o700)
    (outside / "contexts" / "run" / name).write_bytes(b"1")
    inputs = {"run_id": "run", "unique_id": "x", "blob": name, "codec": "json", "storage": "disk"}

    (storage.home / name).symlink_to(outside / "contexts" / "run" / name)
    with pytest.raises(DamagedDataError, match="is a link"):
        load(**inputs)
    (storage.home.parent / "other").symlink_to(outside / "contexts" / "run")
    with pytest.raises(StateError, match="is a link or a file"):
        load(**{**inputs, "run_id": "other"})
    (storage.home.parent.parent / "elsewhere").symlink_to(outside / "contexts")
    with pytest.raises(StateError, match="is a link or a file"):
        load(**inputs, contexts="elsewhere")
    with pytest.raises(StateError, match="is a link or a file"):
        save(run_id="other", use_ram=False)


def test_root_is_no_link(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in its place is refused, even if it leads to the right folder."""
    (tmp_path / "link").symlink_to(storage.home.parent.parent)
    monkeypatch.setenv(VARIABLE, ServerPlaces(None, str(tmp_path / "link"), TOKEN).as_text())
    with pytest.raises(StateError, match="is a link or a file"):
        load(**inputs_of(written(storage, IMAGE, use_ram=False)))


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_what_is_not_a_file(storage: Storage, kind: str) -> None:
    """It is refused at once; a pipe does not make the server wait."""
    path = storage.home / ("0" * 32)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mknod(path, 0o140600)
    with pytest.raises((DamagedDataError, OSError)):
        load(run_id="run", unique_id="x", blob=path.name, codec="json", storage="disk")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770, 0o1777])
@pytest.mark.parametrize("level", [0, 1, 2], ids=["context", "all contexts", "root"])
def test_folders_must_be_private(storage: Storage, mode: int, level: int) -> None:
    """Each on the way, for reading and for writing."""
    folder = [storage.home, *storage.home.parents][level]
    inputs = inputs_of(written(storage, IMAGE, use_ram=False))
    folder.chmod(mode)
    try:
        with pytest.raises(StateError, match="is not private to the user"):
            load(**inputs)
        with pytest.raises(StateError, match="is not private to the user"):
            save(use_ram=False)
    finally:
        folder.chmod(0o700)


@pytest.mark.usefixtures("places")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("level", [0, 1, 2], ids=["context", "all contexts", "root"])
def test_folders_of_somebody_else(storage: Storage, level: int) -> None:
    """They are refused, whoever may read them."""
    folder = [storage.home, *storage.home.parents][level]
    inputs = inputs_of(written(storage, IMAGE, use_ram=False))
    os.chown(folder, 65534, 65534)
    try:
        with pytest.raises(StateError, match="is not private to the user"):
            load(**inputs)
    finally:
        os.chown(folder, 0, 0)


@pytest.mark.usefixtures("places")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_files(storage: Storage, data: st.DataObject) -> None:
    """Cut off, or with any byte changed: an error of ours, or a value. Nothing else, whatever codec is named."""
    record = written(storage, {"samples": IMAGE, "n": [1, "a", (2.5, None)]}, use_ram=False)
    path = storage.path_of(record.file or "")
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        whole[data.draw(st.integers(0, min(len(whole) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    codec = data.draw(st.sampled_from(["tensors", "json", "pickle", ""]))
    problem = ""
    try:
        load(**inputs_of(record) | {"codec": codec})
    except DamagedDataError as error:
        problem = error.problem
    finally:
        storage.drop(record)
    assert problem or codec == "tensors"


@pytest.mark.usefixtures("places")
def test_file_that_is_cut_off(storage: Storage) -> None:
    """The error names the variable."""
    record = written(storage, IMAGE)
    os.truncate(storage.path_of(record.file or ""), record.size - 1)
    with pytest.raises(DamagedDataError, match="the variable 'x' cannot be loaded"):
        load(**inputs_of(record))


HEADERS: dict[str, Any] = {
    "more numbers than bytes": {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
    "negative": {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, -16]}},
    "outside": {"a": {"dtype": "U8", "shape": [16], "data_offsets": [1 << 30, (1 << 30) + 16]}},
    "overlapping": {n: {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]} for n in "ab"},
    "no type": {"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 16]}},
}


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("header", HEADERS)
def test_hostile_headers(storage: Storage, header: str) -> None:
    """Nothing is read or allocated that a header only claims."""
    tree = json.dumps({"$": "array", "n": "a"})
    told = {"__metadata__": {"discomfort_format": "1", "discomfort_tree": tree}, **HEADERS[header]}
    text = json.dumps(told).encode()
    name = "0" * 32
    (storage.home / name).write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(DamagedDataError):
        load(run_id="run", unique_id="x", blob=name, codec="tensors", storage="disk")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("codec", ["pickle", "json", "tensors", ""])
def test_no_pickle(storage: Storage, tmp_path: Path, codec: str) -> None:
    """A pickle in the place of a value is never run."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    name = "0" * 32
    (storage.home / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DamagedDataError):
        load(run_id="run", unique_id="x", blob=name, codec=codec, storage="disk")
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("places")
def test_context_that_was_shut_down(storage: Storage) -> None:
    """Both say that it is gone, and a saver makes no folder."""
    inputs = inputs_of(written(storage, IMAGE, use_ram=False))
    storage.close()
    with pytest.raises(StateError, match="shut down"):
        load(**inputs)
    with pytest.raises(StateError, match="shut down"):
        save()
    assert not storage.home.exists()


@pytest.mark.usefixtures("places")
def test_value_that_is_gone(storage: Storage) -> None:
    """The error says so."""
    record = written(storage, IMAGE)
    storage.drop(record)
    with pytest.raises(StateError, match="is gone"):
        load(**inputs_of(record))


def test_handshake_without_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes tell their version and see nothing."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert handshake() == Handshake(VERSION, ())


def test_handshake_sees_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the client has it; the definition that tells it is always the same text."""
    import tempfile

    from discomfort._system import shared_memory

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "shm")
    probe = Probe()
    monkeypatch.setenv(VARIABLE, probe.environment[VARIABLE])
    assert handshake().sees == ("ram", "disk")
    shown = DiscomfortContextLoader.INPUT_TYPES()["hidden"]["discomfort"]
    assert shown == ("DISCOMFORT", {"default": {"version": VERSION, "sees": ["ram", "disk"]}})
    probe.close()
    probe.close()
    assert handshake().sees == ()
    assert not (tmp_path / folders.user_folder()).exists()
    assert not list((tmp_path / "shm").iterdir())


def test_probe_without_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no file system in memory, the server sees the disk alone."""
    import tempfile

    from discomfort._system import shared_memory

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "nowhere")
    probe = Probe()
    monkeypatch.setenv(VARIABLE, probe.environment[VARIABLE])
    assert probe.places.memory is None
    assert handshake().sees == ("disk",)
    probe.close()


PARTS = st.none() | st.integers() | st.text() | st.just("/tmp") | st.just(TOKEN)
OBJECTS = st.dictionaries(st.sampled_from(["memory", "disk", "token", "more"]), PARTS | st.lists(PARTS))


@settings(deadline=None)
@given(st.text() | (OBJECTS | st.lists(PARTS) | PARTS).map(json.dumps))
def test_places_from_any_text(text: str) -> None:
    """They are those that a client writes, or a ValueError."""
    try:
        found = ServerPlaces.of_text(text)
    except ValueError:
        return
    assert ServerPlaces.of_text(found.as_text()) == found
    assert found.disk.startswith("/")


@settings(deadline=None)
@given(st.text(max_size=90))
def test_folder_names(text: str) -> None:
    """They are single names that begin with no dot."""
    if is_folder_name(text):
        assert Path(text).name == text
        assert text.isascii()
        assert not text.startswith(".")
