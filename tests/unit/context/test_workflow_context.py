"""The documented methods, keys and exceptions of a context."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from discomfort import ConfigurationError, StateError, UnsupportedValueError, WorkflowContext
from discomfort.exceptions import DamagedDataError

IMAGE = np.linspace(0, 1, 1 * 32 * 32 * 3, dtype=np.float32).reshape(1, 32, 32, 3)


def test_save_and_load(context: WorkflowContext) -> None:
    """The same value comes back, in the order of the first saving; a later one replaces it."""
    values: dict[str, Any] = {"prompt": "a cat", "seed": 42, "cfg": 7.5, "settings": {"steps": [1, 2]}, "image": IMAGE}
    for unique_id, value in values.items():
        context.save(unique_id, value)
    context.save("prompt", "a dog")

    assert context.list_keys() == list(values)
    assert len(context) == 5
    assert context.load("prompt") == "a dog"
    assert context["settings"] == {"steps": [1, 2]}
    assert np.array_equal(context.load("image"), IMAGE)
    assert "seed" in context
    assert "other" not in context
    assert 7 not in context


def test_nothing_is_shared(context: WorkflowContext) -> None:
    """Changing what was given, or what was returned, changes nothing in the context."""
    given: dict[str, Any] = {"list": [1], "array": np.zeros(100_000)}
    context.save("value", given)
    given["list"].append(2)
    given["array"][0] = 1
    first = context.load("value")
    first["list"].append(3)
    first["array"][1] = 1
    second = context.load("value")

    assert second["list"] == [1]
    assert not second["array"].any()


def test_loaded_arrays_outlive_the_context() -> None:
    """After the value was replaced, and after the end."""
    with WorkflowContext() as context:
        context.save("a", np.arange(100_000))
        loaded = context.load("a")
        context.save("a", np.zeros(100_000))
    assert loaded.sum() == sum(range(100_000))


def test_storage_info(context: WorkflowContext) -> None:
    """The documented keys: in the index, in memory, on disk, by reference, and nothing."""
    context.save("small", 1)
    context.save("large", IMAGE)
    context.save("disk", IMAGE, use_ram=False)
    context.save("small on disk", 1, use_ram=False)
    large, disk = context.get_storage_info("large"), context.get_storage_info("disk")

    assert context.get_storage_info("small") == {"storage_type": "ram", "size": 1, "pass_by": "val", "shm_name": None}
    assert large is not None
    assert disk is not None
    assert (large["storage_type"], set(large)) == ("ram", {"storage_type", "size", "pass_by", "shm_name"})
    assert (Path("/dev/shm") / large["shm_name"]).stat().st_size == large["size"] > IMAGE.nbytes
    assert (disk["storage_type"], set(disk)) == ("disk", {"storage_type", "size", "pass_by", "path"})
    assert Path(disk["path"]).stat().st_size == disk["size"]
    assert (context.get_storage_info("small on disk") or {})["storage_type"] == "disk"
    assert context.get_storage_info("other") is None


def test_files_are_private(context: WorkflowContext) -> None:
    """Only this user reads them: folders 0700, files 0600."""
    context.save("large", IMAGE)
    context.save("disk", IMAGE, use_ram=False)
    home = Path(context.receipt_path).parent
    memory = Path("/dev/shm") / (context.get_storage_info("large") or {})["shm_name"]

    for folder in (home, home.parent, home.parent.parent, memory.parent, memory.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in (memory, *home.iterdir()):
        assert file.stat().st_mode & 0o777 == 0o600


def test_usage() -> None:
    """Exactly the documented keys, in the documented units."""
    with WorkflowContext(max_ram_gb=1) as context:
        context.save("a", IMAGE)
        context.save("b", IMAGE, use_ram=False)
        context.save("n", 7)
        size = (context.get_storage_info("a") or {})["size"]
        disk = (context.get_storage_info("b") or {})["size"]

        assert context.get_usage() == {
            "ram_usage_bytes": size + 1,
            "ram_capacity_bytes": 1_000_000_000,
            "ram_usage_gb": round((size + 1) / 1e9, 3),
            "ram_capacity_gb": 1.0,
            "temp_disk_usage_bytes": disk,
            "temp_disk_usage_mb": round(disk / 1024**2, 2),
            "stored_keys_count": 3,
        }


def test_without_room_in_memory_a_value_goes_to_disk(caplog: pytest.LogCaptureFixture) -> None:
    """With a warning, once, that says why; small values need no room."""
    with WorkflowContext(max_ram_gb=0) as context, caplog.at_level(logging.WARNING, "discomfort.context"):
        context.save("a", IMAGE)
        context.save("b", IMAGE)
        context.save("n", 1)

        assert (context.get_storage_info("a") or {})["storage_type"] == "disk"
        assert (context.get_storage_info("n") or {})["storage_type"] == "ram"
        assert np.array_equal(context.load("b"), IMAGE)
        assert [record.getMessage() for record in caplog.records] == [
            "a value of 0.0 MB is stored on disk: the context may use 0.000 GB of memory and uses 0.000"
        ]


def test_disk_twice_keeps_the_value(context: WorkflowContext) -> None:
    """Replacing a value on disk does not remove the new one."""
    for number in range(3):
        context.save("a", np.full(100_000, number), use_ram=False)
    assert context.load("a")[0] == 2
    assert len([path for path in Path(context.receipt_path).parent.iterdir() if len(path.name) == 32]) == 1


def test_failed_save_keeps_the_older_value(context: WorkflowContext) -> None:
    """An error that is also a TypeError, with the place."""
    context.save("a", 1)
    with pytest.raises(TypeError, match=r"value\['x'\]\[0\]: an object of type object cannot be stored"):
        context.save("a", {"x": [object()]})
    assert context.load("a") == 1


def test_missing_value(context: WorkflowContext) -> None:
    """KeyError for load, index, delete and export; it names what there is."""
    context.save("seed", 1)
    for call in (context.load, context.__getitem__, context.delete, lambda name: context.export_data(name, "x.pkl")):
        with pytest.raises(KeyError, match=r"no value 'sed'; it has 'seed'"):
            call("sed")
    assert not Path("x.pkl").exists()


def test_delete(context: WorkflowContext) -> None:
    """The value and its file go."""
    context.save("a", IMAGE)
    file = Path("/dev/shm") / (context.get_storage_info("a") or {})["shm_name"]
    assert file.exists()
    context.delete("a")

    assert "a" not in context
    assert not file.exists()


@pytest.mark.parametrize("unique_id", ["", "   ", "x" * 1001, "\ud800"])
def test_wrong_ids_are_refused(context: WorkflowContext, unique_id: str) -> None:
    """An empty one, one that is too long, and one that is not text."""
    with pytest.raises(ValueError, match="unique_id"):
        context.save(unique_id, 1)
    with pytest.raises(TypeError, match="must be a text, not int"):
        context.save(7, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("unique_id", ["../up", "/etc/passwd", "a\nb", "receipts.json", "owner", "é" * 100, "$"])
def test_ids_never_become_paths(context: WorkflowContext, unique_id: str) -> None:
    """Any text is an id; spaces around it do not count, as in ports."""
    context.save(f" {unique_id} ", IMAGE, use_ram=False)

    assert context.list_keys() == [unique_id]
    assert np.array_equal(context[unique_id], IMAGE)
    assert Path((context.get_storage_info(unique_id) or {})["path"]).parent == Path(context.receipt_path).parent


# --- references ------------------------------------------------------------------------------------------------------

PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "2": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "model", "input_data": ["1", 0]}},
    "3": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "passed", "input_data": ["1", 1]}},
    "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
    "5": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "name"}},
}


def port(unique_id: str, link: int | None, links: list[int] | None) -> dict[str, Any]:
    """A port as the UI saves it."""
    return {
        "id": 5, "type": "DiscomfortPort", "inputs": [{"name": "input_data", "type": "*", "link": link}],
        "outputs": [{"name": "output_data", "type": "*", "links": links}], "widgets_values": [unique_id],
    }  # fmt: skip


WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "VAELoader", "outputs": [{"name": "VAE", "links": [1, 2]}]},
        {**port("model", 1, None)},
        {**port("passed", 2, [3]), "id": 6},
        {**port("name", None, [4]), "id": 7},
        {"id": 8, "type": "Use", "inputs": [{"name": "a", "link": 3}, {"name": "b", "link": 4}]},
    ],
    "links": [[1, 1, 0, 5, 0, "*"], [2, 1, 0, 6, 0, "*"], [3, 6, 0, 8, 0, "*"], [4, 7, 0, 8, 1, "*"]],
}


@pytest.mark.parametrize("graph", [PROMPT, WORKFLOW, {"prompt": PROMPT}], ids=["prompt", "workflow", "envelope"])
def test_reference(context: WorkflowContext, graph: dict[str, Any]) -> None:
    """A workflow or prompt with an output port of that id is stored, and comes back; it cannot be exported."""
    context.save(" model", graph, pass_by="ref")

    assert context.load("model") == graph
    assert (context.get_storage_info("model") or {})["pass_by"] == "ref"
    with pytest.raises(TypeError, match="is a reference"):
        context.export_data("model", "model.pkl")
    assert "model" in context
    for other in ("passed", "name", "nothing"):
        with pytest.raises(ValueError, match="no output port of this id; its output ports are 'model'"):
            context.save(other, graph, pass_by="ref")


@pytest.mark.parametrize("value", [1, "text", {}, {"a": 1}, IMAGE])
def test_reference_must_be_a_graph(context: WorkflowContext, value: object) -> None:
    """Nothing else is a recipe."""
    with pytest.raises(ValueError, match="cannot be saved with pass_by='ref'"):
        context.save("model", value, pass_by="ref")
    with pytest.raises(ValueError, match="must be 'val' or 'ref', not 'value'"):
        context.save("model", value, pass_by="value")  # type: ignore[arg-type]
    assert len(context) == 0


# --- export ----------------------------------------------------------------------------------------------------------


def test_export_moves_the_value(context: WorkflowContext, tmp_path: Path) -> None:
    """Into a pickle, in folders that are made; the value is gone then."""
    context.save("value", {"image": IMAGE, "n": (1, 2)})
    context.export_data("value", tmp_path / "new" / "folder" / "value.pkl")
    found = pickle.loads((tmp_path / "new" / "folder" / "value.pkl").read_bytes())

    assert np.array_equal(found["image"], IMAGE)
    assert found["n"] == (1, 2)
    assert "value" not in context


def test_export_to_a_bare_name(context: WorkflowContext) -> None:
    """In the working directory."""
    context.save("value", [1])
    context.export_data("value", "value")
    assert pickle.loads(Path("value").read_bytes()) == [1]


def test_export_checks_first(context: WorkflowContext, tmp_path: Path) -> None:
    """An existing file, a folder, a place that cannot be made: the value and the file stay."""
    (tmp_path / "there.pkl").write_bytes(b"mine")
    context.save("value", 1)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        context.export_data("value", tmp_path / "there.pkl")
    with pytest.raises(IsADirectoryError):
        context.export_data("value", tmp_path, overwrite=True)
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        context.export_data("value", tmp_path / "there.pkl" / "below", overwrite=True)

    assert context.load("value") == 1
    assert (tmp_path / "there.pkl").read_bytes() == b"mine"
    context.export_data("value", tmp_path / "there.pkl", overwrite=True)
    assert pickle.loads((tmp_path / "there.pkl").read_bytes()) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_export_by_suffix(context: WorkflowContext, tmp_path: Path) -> None:
    """Formats that other programs read."""
    for unique_id, value in {
        "a": IMAGE,
        "b": {"x": IMAGE},
        "c": IMAGE,
        "d": {"n": [1, "é"]},
        "e": IMAGE[..., 0],
    }.items():
        context.save(unique_id, value)
    context.save("f", Image.new("RGBA", (3, 2), (1, 2, 3, 4)))
    for unique_id, name in zip("abcdef", ["a.npy", "b.safetensors", "c.png", "d.json", "e.PNG", "f.png"], strict=True):
        context.export_data(unique_id, tmp_path / name)

    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), IMAGE)
    assert b'"x":{"dtype":"F32"' in (tmp_path / "b.safetensors").read_bytes()
    with Image.open(tmp_path / "c.png") as picture:
        assert np.array_equal(np.asarray(picture), (IMAGE[0] * 255).astype(np.uint8))
    assert json.loads((tmp_path / "d.json").read_text()) == {"n": [1, "é"]}
    with Image.open(tmp_path / "e.PNG") as mask, Image.open(tmp_path / "f.png") as picture:
        assert mask.mode == "L"
        assert picture.getpixel((0, 0)) == (1, 2, 3, 4)
    assert context.list_keys() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.npy", [1]), ("a.safetensors", {"n": 1}), ("a.png", "text"), ("a.png", np.zeros((2, 8, 8, 3))),
        ("a.png", np.zeros((8, 8), "i8")), ("a.png", np.zeros((0, 8, 3))), ("a.json", {1: IMAGE}),
        ("a.json", float("nan")), ("a.png", Image.new("CMYK", (2, 2))),
    ],
)  # fmt: skip
def test_export_of_what_the_format_lacks(context: WorkflowContext, tmp_path: Path, name: str, value: object) -> None:
    """The typed error; neither is the value gone nor a file made."""
    context.save("value", value)
    with pytest.raises(UnsupportedValueError, match="Choose another suffix"):
        context.export_data("value", tmp_path / name)

    assert "value" in context
    assert not (tmp_path / name).exists()


# --- opening and the end ---------------------------------------------------------------------------------------------


def test_end() -> None:
    """Everything is gone, calls raise, questions have empty answers; ending again is harmless."""
    context = WorkflowContext()
    context.save("a", IMAGE)
    home = Path(context.receipt_path).parent
    memory = Path("/dev/shm") / (context.get_storage_info("a") or {})["shm_name"]
    context.shutdown()
    context.shutdown()

    assert not home.exists()
    assert not memory.parent.exists()
    calls = [lambda: context.save("a", 1), lambda: context.load("a"), lambda: context.export_data("a", "x")]
    for call in [*calls, lambda: context.delete("a"), lambda: context["a"]]:
        with pytest.raises(StateError, match="was shut down"):
            call()
    assert context.list_keys() == []
    assert set(context.get_usage().values()) == {0}
    assert context.get_storage_info("a") is None
    assert "a" not in context
    assert len(context) == 0
    assert repr(context).endswith("shut down>")


def test_block_ends_the_context_whatever_happens() -> None:
    """Also by an error, which is raised."""
    with pytest.raises(RuntimeError, match="mine"), WorkflowContext() as context:
        raise RuntimeError("mine")
    with pytest.raises(StateError):
        context.save("a", 1)


def test_empty_context_is_true(context: WorkflowContext) -> None:
    """So that ``context or default`` does not replace one that has no values yet."""
    assert not len(context)
    assert context


def test_opened_context_sees_the_same_values() -> None:
    """Both ways. Ending it detaches it, and removes nothing; the maker's end ends it."""
    with WorkflowContext(run_id="shared") as maker:
        opened = WorkflowContext(run_id="shared", create=False)
        maker.save("a", IMAGE)
        opened.save("b", 2)
        assert np.array_equal(opened.load("a"), IMAGE)
        opened.shutdown()
        with pytest.raises(StateError):
            opened.load("a")
        assert maker["b"] == 2
        again = WorkflowContext(run_id="shared", create=False)
    with pytest.raises(StateError, match="was shut down"):
        again.load("a")
    assert again.list_keys() == []


def test_opening_and_making_by_id() -> None:
    """Nothing to open; one that lives already; after its end the id is free."""
    with pytest.raises(FileNotFoundError, match="no context with the id 'x'"):
        WorkflowContext(run_id="x", create=False)
    with pytest.raises(ValueError, match="needs the run_id"):
        WorkflowContext(create=False)
    with WorkflowContext(run_id="x") as first:
        first.save("a", 1)
        with pytest.raises(FileExistsError, match="lives already"):
            WorkflowContext(run_id="x")
        assert first["a"] == 1
    with WorkflowContext(run_id="x") as second:
        assert second.list_keys() == []
    assert len(WorkflowContext().run_id) == 32


@pytest.mark.parametrize("run_id", ["..", ".hidden", "../x", "a/b", "", "x" * 65, "a\0", "a b", "é"])
def test_run_id_never_becomes_another_path(run_id: str) -> None:
    """Refused, whether it would be made or opened."""
    for create in (True, False):
        with pytest.raises(ValueError, match="is not a name"):
            WorkflowContext(run_id=run_id, create=create)
    with pytest.raises(TypeError):
        WorkflowContext(run_id=7)  # type: ignore[arg-type]


def test_folder_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    """One of that name without our marks stays, and the error says so."""
    with WorkflowContext() as context:
        root = Path(context.receipt_path).parents[1]
    (root / "x").mkdir(parents=True)
    (root / "x" / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        WorkflowContext(run_id="x")
    (root / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(FileExistsError):
        WorkflowContext(run_id="link")
    assert (root / "x" / "mine").read_text() == "mine"


def test_removed_file_is_a_typed_error(context: WorkflowContext) -> None:
    """A value whose file another program removed or cut off."""
    context.save("gone", IMAGE)
    context.save("cut", IMAGE, use_ram=False)
    (Path("/dev/shm") / (context.get_storage_info("gone") or {})["shm_name"]).unlink()
    os.truncate((context.get_storage_info("cut") or {})["path"], 100)

    with pytest.raises(DamagedDataError, match="another program removed it"):
        context.load("gone")
    with pytest.raises(DamagedDataError, match="has 100 bytes instead of"):
        context.load("cut")
    with pytest.raises(DamagedDataError, match="another program removed it"):
        context.export_data("gone", "gone.pkl")
    assert list(Path().iterdir()) == []
    context.save("gone", 1)
    assert context["gone"] == 1


# --- threads and coroutines ------------------------------------------------------------------------------------------


async def test_coroutines_share_a_context(context: WorkflowContext) -> None:
    """Three of them save ten values each."""

    async def work(name: str) -> None:
        for number in range(10):
            await asyncio.to_thread(context.save, f"{name}{number}", np.full(20_000, number))
            context.save(f"{name}{number}", [name, number])

    await asyncio.gather(*map(work, "abc"))
    assert len(context) == 30
    assert all(context[f"{name}{number}"] == [name, number] for name in "abc" for number in range(10))


def test_threads_share_a_context(context: WorkflowContext) -> None:
    """Writers and readers of one id: every value that is read was written as a whole."""
    problems: list[BaseException] = []
    context.save("a", np.full(50_000, -1))
    begin = threading.Barrier(6)

    def write(number: int) -> None:
        for _ in range(30):
            context.save("a", np.full(50_000, number), use_ram=bool(number % 2))

    def read(_: int) -> None:
        for _ in range(60):
            array = context.load("a")
            assert (array == array[0]).all()

    def guarded(work: Any, number: int) -> None:
        try:
            begin.wait(30)
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(write if n < 3 else read, n)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    home = Path(context.receipt_path).parent
    memory = Path("/dev/shm") / f"discomfort-{os.geteuid()}" / context.run_id
    assert len([path for folder in (home, memory) for path in folder.iterdir() if len(path.name) >= 32]) == 1


def test_one_of_many_makes_a_context() -> None:
    """Of those that try at the same time to make one of the same id; the others get FileExistsError."""
    begin = threading.Barrier(8)
    made: list[WorkflowContext] = []
    refused: list[str] = []

    def work() -> None:
        begin.wait(30)
        try:
            made.append(WorkflowContext(run_id="same"))
        except FileExistsError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (context,) = made
    assert len(refused) == 7
    context.save("a", IMAGE)
    assert np.array_equal(context["a"], IMAGE)
    context.shutdown()
    assert not Path(context.receipt_path).parent.parent.exists()


def test_end_in_another_thread(context: WorkflowContext) -> None:
    """A thread that saves meanwhile gets the typed error."""
    ended: list[BaseException] = []
    first = threading.Event()

    def work() -> None:
        try:
            while True:
                context.save("a", np.zeros(100_000))
                first.set()
        except BaseException as error:  # noqa: BLE001 - looked at below
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert first.wait(60)
    context.shutdown()
    thread.join(60)
    assert [type(error) for error in ended] == [StateError]
    assert not Path(context.receipt_path).parent.exists()


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file, or a link of somebody else, where the folder of this user would be; with the remedy."""
    place = tmp_path / "temporary" / f"discomfort-{os.geteuid()}"
    place.write_text("mine")
    with pytest.raises(ConfigurationError, match="Set TMPDIR to a folder of your own") as caught:
        WorkflowContext()
    assert str(place) in str(caught.value)
    place.unlink()
    place.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ConfigurationError, match="is a link or a file, not a folder"):
        WorkflowContext()


def test_last_context_leaves_no_folder(tmp_path: Path) -> None:
    """The folders of all contexts go with the last one."""
    with WorkflowContext() as first:
        with WorkflowContext() as second:
            second.save("a", IMAGE)
        first.save("a", IMAGE)
    assert list((tmp_path / "temporary").iterdir()) == []
