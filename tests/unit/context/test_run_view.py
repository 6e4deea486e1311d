"""What one run reads and writes: a snapshot, and one commit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.context.conftest import files_of
from unit.context.test_storage import ARRAY, put

from discomfort.context.codecs import encode
from discomfort.context.run_view import RunView
from discomfort.context.storage import Storage
from discomfort.exceptions import DamagedDataError, StateError


def test_commit_is_all_at_once(storage: Storage) -> None:
    """Nothing is visible before; the snapshot stays what it was, whoever saves meanwhile."""
    put(storage, "image", ARRAY)
    with RunView(storage) as view:
        view.save("image", ARRAY + 1)
        view.save("seed", 7)
        put(storage, "image", ARRAY + 2)
        put(storage, "other", 1)

        assert np.array_equal(view.load("image"), ARRAY)
        assert "seed" not in storage.records()
        assert "other" not in view.records
        committed = view.commit()
    assert set(committed) == {"image", "seed"}
    assert np.array_equal(storage.load("image"), ARRAY + 1)
    assert storage.load("seed") == 7
    assert len(files_of(storage.room.root)) == 1


def test_failed_run_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    """Its values and their files go; earlier ones stay."""
    put(storage, "image", ARRAY)

    def fail() -> None:
        with RunView(storage) as view:
            view.save("image", ARRAY + 1)
            view.save("image", ARRAY + 2, use_ram=False)
            view.save("n", 1)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    assert storage.records().keys() == {"image"}
    assert np.array_equal(storage.load("image"), ARRAY)
    assert len(files_of(tmp_path)) == 1


def test_later_commit_counts(storage: Storage) -> None:
    """Of two runs that write one id; each has its own record for its own result."""
    first, second = RunView(storage), RunView(storage)
    second.save("a", ARRAY + 2)
    first.save("a", ARRAY + 1)
    second_records = second.commit()
    mine = first.commit()
    assert storage.record("a") == mine["a"]
    assert second.value_of(second_records["a"])[0] == 2
    assert first.value_of(mine["a"])[0] == 1
    second.discard()
    first.discard()
    assert len(files_of(storage.room.root)) == 1


def test_adopted_file(storage: Storage) -> None:
    """One that another process wrote into the folder becomes a value; what is not such a file is refused."""
    from discomfort.context.blobs import write_blob

    encoded = encode({"samples": ARRAY})
    folder = storage.memory_folder
    assert folder is not None
    name = write_blob(folder, encoded.pieces(), encoded.size, reserved=True)
    view = RunView(storage)
    for wrong in ("../" + name, name.upper(), "owner", ""):
        with pytest.raises(DamagedDataError):
            view.adopt("latent", "ram", wrong, "tensors", encoded.size)
    with pytest.raises(DamagedDataError, match="instead of"):
        view.adopt("latent", "ram", name, "tensors", encoded.size + 1)
    with pytest.raises(DamagedDataError):
        view.adopt("latent", "ram", name, "pickle", encoded.size)
    with pytest.raises(FileNotFoundError):
        view.adopt("latent", "disk", name, "tensors", encoded.size)
    view.adopt("latent", "ram", name, "tensors", encoded.size)
    view.commit()
    assert np.array_equal(storage.load("latent")["samples"], ARRAY)


def test_reference_keeps_what_it_needs(storage: Storage) -> None:
    """A value that was replaced, as long as the reference lives."""
    image = put(storage, "image", ARRAY)
    view = RunView(storage)
    view.save("model", {"blob": image.file}, pass_by="ref", needs=image.files)
    view.commit()
    view.discard()
    put(storage, "image", 1)
    assert storage.path_of(image.file or "").exists()
    put(storage, "model", 1)
    assert not storage.path_of(image.file or "").exists()


def test_view_after_the_end(storage: Storage) -> None:
    """Its commit raises the typed error, and leaves nothing."""
    view = RunView(storage)
    view.save("a", ARRAY)
    storage.close()
    with pytest.raises(StateError, match="was shut down"):
        view.commit()
    view.discard()
    with pytest.raises(StateError):
        RunView(storage)
