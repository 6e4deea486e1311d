"""Uploads named without their subfolder: taken only where nothing else can be meant."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from discomfort.connector.upload_names import UploadPlaces

DEFINITIONS: dict[str, Any] = {
    "Load": {"input": {"required": {"image": [["other.png"], {"image_upload": True}], "text": ["STRING", {}]}}},
    "Modern": {"input": {"required": {"file": ["COMBO", {"options": []}]}}},
}


@pytest.fixture
def uploaded(tmp_path: Path) -> UploadPlaces:
    """``cats/a.png`` was uploaded, and is there."""
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").touch()
    places = UploadPlaces()
    places.note("a.png", "cats")
    return places


def prompt(class_type: str = "Load", **inputs: Any) -> dict[str, Any]:
    """A prompt of one node."""
    return {"1": {"class_type": class_type, "inputs": inputs}}


@pytest.mark.parametrize(("class_type", "name"), [("Load", "image"), ("Modern", "file")])
def test_picker_is_given_the_place(uploaded: UploadPlaces, tmp_path: Path, class_type: str, name: str) -> None:
    """A picker with the bare name gets the subfolder with it; the caller's prompt stays as it was."""
    given = prompt(class_type, **{name: "a.png"})

    resolved = uploaded.resolve(given, DEFINITIONS, tmp_path)

    assert resolved == prompt(class_type, **{name: "cats/a.png"})
    assert given == prompt(class_type, **{name: "a.png"})


@pytest.mark.parametrize(
    "given",
    [
        prompt(image="b.png"),
        prompt(image="cats/a.png"),
        prompt(image=["2", 0]),
        prompt(text="a.png"),
        prompt(unknown="a.png"),
        prompt("Stranger", image="a.png"),
        {"1": "no node", "2": {"class_type": "Load"}, "3": {"class_type": 5, "inputs": {"image": "a.png"}}},
    ],
    ids=["other", "with-folder", "link", "text", "unknown-input", "unknown-class", "malformed"],
)
def test_anything_else_is_left_alone(uploaded: UploadPlaces, tmp_path: Path, given: dict[str, Any]) -> None:
    """Other names, links, texts, and what the server does not know."""
    assert uploaded.resolve(given, DEFINITIONS, tmp_path) is given


def test_a_file_of_that_name_goes_first(uploaded: UploadPlaces, tmp_path: Path) -> None:
    """What lies in the input folder itself is what the bare name means."""
    (tmp_path / "a.png").touch()

    assert uploaded.resolve(prompt(image="a.png"), DEFINITIONS, tmp_path) == prompt(image="a.png")


def test_two_uploads_of_one_name(uploaded: UploadPlaces, tmp_path: Path) -> None:
    """Neither is taken while both are there; when one is gone, the other is."""
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "a.png").touch()
    uploaded.note("a.png", "dogs")
    assert uploaded.resolve(prompt(image="a.png"), DEFINITIONS, tmp_path) == prompt(image="a.png")

    (tmp_path / "cats" / "a.png").unlink()
    assert uploaded.resolve(prompt(image="a.png"), DEFINITIONS, tmp_path) == prompt(image="dogs/a.png")


def test_without_uploads_nothing_is_asked(uploaded: UploadPlaces, tmp_path: Path) -> None:
    """Definitions are fetched only for a prompt that names an upload."""
    assert UploadPlaces().named_in(prompt(image="a.png")) == frozenset()
    assert uploaded.named_in(prompt(image="b.png")) == frozenset()
    assert uploaded.named_in(prompt(image="a.png")) == {"a.png"}
    assert UploadPlaces().resolve(prompt(image="a.png"), {}, tmp_path) == prompt(image="a.png")


def test_only_named_uploads_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many uploads there were, a run asks the file system about those that its prompt names."""
    places = UploadPlaces()
    for number in range(10_000):
        places.note(f"{number}.png", "batch")
    looks: list[str] = []
    monkeypatch.setattr(Path, "exists", lambda path: looks.append(path.name))

    places.resolve(prompt(image="7.png"), DEFINITIONS, tmp_path)

    assert looks == ["7.png"]


@pytest.mark.parametrize("other", ["dogs", "big/cats", "cats/big"])
@pytest.mark.parametrize("is_first", [True, False])
def test_forgotten_upload_is_named_no_more(
    uploaded: UploadPlaces, tmp_path: Path, other: str, *, is_first: bool
) -> None:
    """The other place of the same name stays, also where one path ends with the other."""
    uploaded.note("a.png", other)
    forgotten, left = ("cats", other) if is_first else (other, "cats")
    (tmp_path / other).mkdir(parents=True)
    (tmp_path / other / "a.png").touch()
    (tmp_path / forgotten / "a.png").unlink()
    uploaded.forget(tmp_path / forgotten / "a.png", tmp_path)
    # The file comes back by other means: the name does not.
    (tmp_path / forgotten / "a.png").touch()
    assert uploaded.resolve(prompt(image="a.png"), DEFINITIONS, tmp_path) == prompt(image=f"{left}/a.png")
    for _ in range(2):
        uploaded.forget(tmp_path / left / "a.png", tmp_path)
    assert uploaded.named_in(prompt(image="a.png")) == frozenset()


def test_upload_is_forgotten_through_a_link(uploaded: UploadPlaces, tmp_path: Path) -> None:
    """The input folder, or the path of the upload, may be given through one."""
    (tmp_path / "link").symlink_to(tmp_path)
    uploaded.forget(tmp_path / "link" / "cats" / "a.png", tmp_path)
    assert uploaded.named_in(prompt(image="a.png")) == frozenset()
    uploaded.note("a.png", "cats")
    uploaded.forget(tmp_path / "cats" / "a.png", tmp_path / "link")
    assert uploaded.named_in(prompt(image="a.png")) == frozenset()


def test_file_outside_of_the_input_folder_is_no_upload(uploaded: UploadPlaces, tmp_path: Path) -> None:
    """Whatever the end of its path."""
    uploaded.forget(tmp_path / "elsewhere" / "cats" / "a.png", tmp_path)
    assert uploaded.named_in(prompt(image="a.png")) == {"a.png"}


def test_uploads_in_threads_while_runs_resolve(uploaded: UploadPlaces, tmp_path: Path) -> None:
    """``upload_data`` is safe in any thread, also while runs look."""

    def upload(first: int) -> None:
        for number in range(first, first + 2000):
            uploaded.note(f"{number}.png", "batch")
            uploaded.forget(tmp_path / "batch" / f"{number}.png", tmp_path)

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(upload, 10_000 * thread) for thread in range(4)]
        while not all(each.done() for each in work):
            assert uploaded.resolve(prompt(image="a.png"), DEFINITIONS, tmp_path) == prompt(image="cats/a.png")
        for each in work:
            each.result()
