"""Uploads named without their subfolder: taken only where nothing else can be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discomfort.connector.uploads import UploadPlaces

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


def test_without_uploads_nothing_is_asked(tmp_path: Path) -> None:
    """An empty one is false, so that nobody fetches definitions for it."""
    places = UploadPlaces()

    assert not places
    assert places.resolve(prompt(image="a.png"), {}, tmp_path) == prompt(image="a.png")
