"""Results: every output of every kind, as bytes, image and file."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract.graphs import node, picture_prompt, record_of
from PIL import Image

from discomfort import ComfyConnector


async def test_image_as_bytes_pil_and_file(connector: ComfyConnector, tmp_path: Path) -> None:
    """One saved image in its three forms, with the facts of its node."""
    history = await connector.run_workflow(picture_prompt(0xFF8000, prefix="kinds/picture"), False)
    (output,) = connector.outputs(history)
    assert (output.node_id, output.title, output.class_type) == ("2", "Out", "SaveImage")
    assert (output.kind, output.key, output.folder, output.subfolder) == ("image", "images", "output", "kinds")
    data = await output.read()
    assert data.startswith(b"\x89PNG")
    image = await output.image()
    assert image.size == (32, 32)
    assert image.getpixel((5, 5)) == (0xFF, 0x80, 0x00)
    path = await output.save(tmp_path / "new folder")
    assert path.parent == tmp_path / "new folder"
    assert path.name == output.filename
    assert path.read_bytes() == data


async def test_saving_again_keeps_both_files(connector: ComfyConnector, tmp_path: Path) -> None:
    """A name that is taken in the folder is never overwritten."""
    history = await connector.run_workflow(picture_prompt(0xFF8001, prefix="kinds/twice"), False)
    (output,) = connector.outputs(history)
    first, second = await output.save(tmp_path), await output.save(tmp_path)
    assert first != second
    assert first.read_bytes() == second.read_bytes()
    assert (await output.save(tmp_path, "chosen.png")).name == "chosen.png"


async def test_preview_lies_in_temp(connector: ComfyConnector) -> None:
    """What a preview node wrote into the temp folder is read from there."""
    history = await connector.run_workflow(picture_prompt(0x00FF00), False)
    (output,) = connector.outputs(history)
    assert output.folder == "temp"
    assert (await output.image()).getpixel((0, 0)) == (0, 255, 0)


async def test_outputs_of_a_cached_run(connector: ComfyConnector) -> None:
    """A fully cached run has its outputs too."""
    prompt = picture_prompt(0x0000FF)
    await connector.run_workflow(prompt, False)
    (output,) = connector.outputs(await connector.run_workflow(prompt, False))
    assert (await output.image()).getpixel((0, 0)) == (0, 0, 255)


async def test_cached_twin_is_known_by_its_own_node(connector: ComfyConnector) -> None:
    """Two equal nodes share one result; each output still names its own node and title."""
    prompt = picture_prompt(0x0A0B0C)
    prompt["3"] = node("PreviewImage", "Twin", images=["1", 0])
    outputs = connector.outputs(await connector.run_workflow(prompt, False))
    assert {(output.node_id, output.title) for output in outputs} == {("2", "Out"), ("3", "Twin")}


@pytest.mark.parametrize("folder", ["output", "temp"])
@pytest.mark.parametrize(
    ("kind", "extension", "expected"),
    [
        ("image", "png", "image"),
        ("video", "mp4", "video"),
        ("audio", "flac", "audio"),
        ("3d", "glb", "3d"),
        ("file", "bin", "file"),
    ],
)
async def test_files_of_every_kind(
    connector: ComfyConnector, tmp_path: Path, kind: str, extension: str, expected: str, folder: str
) -> None:
    """Image, video, audio, 3D and unknown files come back byte for byte, from any folder and subfolder."""
    prompt = {"1": node("ContractFiles", "Maker", kind=kind, folder=folder, subfolder="deep/er", name=f"k {kind}")}
    (output,) = connector.outputs(await connector.run_workflow(prompt, False))
    assert (output.kind, output.folder, output.subfolder) == (expected, folder, "deep/er")
    assert (output.title, output.filename) == ("Maker", f"k {kind}.{extension}")
    data = await output.read()
    if kind == "image":
        assert data.startswith(b"\x89PNG")
    else:
        assert data == f"content of the {kind}".encode() * 100
    assert (await output.save(tmp_path)).read_bytes() == data


async def test_values_of_every_kind(connector: ComfyConnector) -> None:
    """Texts, numbers, flags and objects are outputs too; nothing that a node returned is left out."""
    prompt = {"1": node("ContractValues", "Values")}
    outputs = connector.outputs(await connector.run_workflow(prompt, False))
    found = [(output.key, output.kind, output.index, output.value) for output in outputs]
    assert found == [
        ("text", "text", 0, "one"),
        ("text", "text", 1, "two"),
        ("numbers", "value", 0, 1),
        ("numbers", "value", 1, 2.5),
        ("numbers", "value", 2, None),
        ("flags", "value", 0, True),
        ("objects", "value", 0, {"a": [1]}),
    ]
    assert all(output.filename is None for output in outputs)


async def test_preview_any_is_a_text(connector: ComfyConnector) -> None:
    """The text of a core node that shows any value."""
    prompt = {"1": node("PrimitiveInt", value=42), "2": node("PreviewAny", "Shown", source=["1", 0])}
    (output,) = connector.outputs(await connector.run_workflow(prompt, False))
    assert (output.kind, output.value, output.title) == ("text", "42", "Shown")
    assert await output.read() == b"42"


async def test_batch_gives_one_output_per_image(connector: ComfyConnector) -> None:
    """A batch is saved as several files, in order."""
    prompt = picture_prompt(0x111111, prefix="kinds/batch")
    prompt["1"]["inputs"]["batch_size"] = 3
    outputs = connector.outputs(await connector.run_workflow(prompt, False))
    assert [output.index for output in outputs] == [0, 1, 2]
    assert len({output.filename for output in outputs}) == 3


async def test_uploaded_picture_comes_out_as_it_went_in(connector: ComfyConnector, tmp_path: Path) -> None:
    """Upload, load, save: every pixel value survives."""
    source = tmp_path / "gradient ü (1).png"
    image = Image.new("RGB", (256, 1))
    image.putdata([(level, 255 - level, level // 2) for level in range(256)])
    image.save(source)
    connector.upload_data(source, subfolder="results", is_ephemeral=True)
    prompt = {
        "1": node("LoadImage", image=f"results/{source.name}"),
        "2": node("PreviewImage", images=["1", 0]),
    }
    history = await connector.run_workflow(prompt, False)
    (output,) = connector.outputs(history)
    assert (await output.image()).convert("RGB").tobytes() == image.tobytes()
    assert record_of(history)["status"]["completed"] is True
