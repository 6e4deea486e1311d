"""``upload_data``: every folder, ephemeral files, overwriting, and paths that would leave their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import node, picture_prompt, record_of
from PIL import Image

from discomfort import ComfyConnector
from discomfort.exceptions import UploadError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with a name of its own."""
    path = tmp_path / f"{tmp_path.name}.dat"
    path.write_bytes(b"first content")
    return path


@pytest.mark.parametrize("folder_type", ["input", "output", "temp"])
@pytest.mark.parametrize("subfolder", [None, "processing", "a/b"])
async def test_upload_is_seen_by_the_server(
    connector: ComfyConnector, raw: aiohttp.ClientSession, source: Path, folder_type: str, subfolder: str | None
) -> None:
    """The returned path is absolute and holds the file, and the server serves it from that folder."""
    returned = connector.upload_data(str(source), folder_type, subfolder, is_ephemeral=True)
    assert isinstance(returned, str)
    path = Path(returned)
    assert path.is_absolute()
    assert path.read_bytes() == b"first content"
    assert path.parts[-1 - len(Path(subfolder or "").parts) : -1] == Path(subfolder or "").parts
    query = {"filename": source.name, "type": folder_type, "subfolder": subfolder or ""}
    async with raw.get("/view", params=query) as response:
        assert response.status == 200
        assert await response.read() == b"first content"
    connector._delete_data()
    assert not path.exists()


async def test_model_goes_below_models(connector: ComfyConnector, engine: EngineUnderTest, source: Path) -> None:
    """``models`` with its subfolder."""
    returned = connector.upload_data(source, folder_type="models", subfolder="checkpoints", is_ephemeral=True)
    assert Path(returned) == engine.home / "models" / "checkpoints" / source.name
    connector._delete_data()
    assert not Path(returned).exists()


async def test_existing_file_and_overwriting(connector: ComfyConnector, source: Path) -> None:
    """Without ``overwrite`` an existing file is FileExistsError and stays; with it, it is replaced."""
    path = Path(connector.upload_data(source))
    source.write_bytes(b"second content")
    with pytest.raises(FileExistsError):
        connector.upload_data(source)
    assert path.read_bytes() == b"first content"
    assert connector.upload_data(source, overwrite=True) == str(path)
    assert path.read_bytes() == b"second content"
    path.unlink()


async def test_only_ephemeral_files_are_deleted(connector: ComfyConnector, source: Path, tmp_path: Path) -> None:
    """``_delete_data`` removes what was marked, folders made for it included, and nothing else; twice is fine."""
    kept = Path(connector.upload_data(source, subfolder="kept"))
    marked = Path(connector.upload_data(source, subfolder=f"marked/{tmp_path.name}", is_ephemeral=True))
    marked_too = Path(connector.upload_data(source, "output", "marked", is_ephemeral=True))
    marked_too.unlink()
    connector._delete_data()
    connector._delete_data()
    assert kept.read_bytes() == b"first content"
    assert not marked.exists()
    assert not marked.parent.exists()
    kept.unlink()


async def test_uploaded_picture_can_be_loaded_at_once(connector: ComfyConnector, tmp_path: Path) -> None:
    """A file uploaded after the server listed its files is a valid input all the same."""
    await connector.run_workflow(picture_prompt(), False)
    source = tmp_path / f"{tmp_path.name}.png"
    Image.new("RGB", (4, 4), (1, 2, 3)).save(source)
    connector.upload_data(source, is_ephemeral=True)
    prompt = {"1": node("LoadImage", image=source.name), "2": node("PreviewImage", images=["1", 0])}
    assert record_of(await connector.run_workflow(prompt, False))["status"]["completed"] is True


async def test_missing_source(connector: ComfyConnector, tmp_path: Path) -> None:
    """A source that is not there is the builtin error."""
    with pytest.raises(FileNotFoundError):
        connector.upload_data(tmp_path / "missing.jpg")


@pytest.mark.parametrize("folder_type", ["", "Input", "user", "../input", "custom_nodes", "models/checkpoints"])
async def test_unknown_folder_type(connector: ComfyConnector, source: Path, folder_type: str) -> None:
    """There are four folder types, and the error lists them."""
    with pytest.raises(UploadError, match="input") as caught:
        connector.upload_data(source, folder_type)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("subfolder", [None, "", "."])
async def test_model_without_its_subfolder(connector: ComfyConnector, source: Path, subfolder: str | None) -> None:
    """A model must say which kind it is."""
    with pytest.raises(UploadError, match="subfolder"):
        connector.upload_data(source, "models", subfolder)


@pytest.mark.parametrize("folder_type", ["input", "output", "temp", "models"])
@pytest.mark.parametrize(
    "subfolder", ["..", "../..", "a/../../b", "/tmp", "/", "a\0b", "..\\..", "C:\\Windows", "a/./../.."]
)
async def test_path_that_would_leave_its_folder(
    connector: ComfyConnector, source: Path, folder_type: str, subfolder: str
) -> None:
    """No spelling of a path leaves the folder."""
    with pytest.raises(UploadError):
        connector.upload_data(source, folder_type, subfolder, overwrite=True)


async def test_link_that_would_leave_its_folder(
    connector: ComfyConnector, engine: EngineUnderTest, source: Path, tmp_path: Path
) -> None:
    """A symlink inside the folder that leads out of it is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link = engine.home / "input" / f"link-{tmp_path.name}"
    link.symlink_to(outside)
    with pytest.raises(UploadError):
        connector.upload_data(source, subfolder=link.name)
    assert list(outside.iterdir()) == []
    link.unlink()


async def test_source_that_is_a_folder(connector: ComfyConnector, tmp_path: Path) -> None:
    """Folders are not uploaded."""
    with pytest.raises(UploadError):
        connector.upload_data(tmp_path)


# --- awaited, and taken back -----------------------------------------------------------------------------------------


def content_of(kind: str, tmp_path: Path) -> Any:
    """A picture in each form that upload() takes."""
    picture = Image.new("RGB", (8, 8), (10, 200, 30))
    path = tmp_path / "photo.png"
    picture.save(path)
    if kind == "path":
        return path
    if kind == "text":
        return str(path)
    if kind == "file":
        return path.open("rb")
    return picture if kind == "image" else path.read_bytes()


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "file", "image"])
async def test_upload_takes_every_form(connector: ComfyConnector, tmp_path: Path, kind: str) -> None:
    """The result's value is what LoadImage takes, and the file is gone when it is discarded."""
    content = content_of(kind, tmp_path)
    name = f"awaited-{kind}.png"
    done = await connector.upload(content, name=name, subfolder="awaited", ephemeral=True)
    if kind == "file":
        content.close()

    assert done.value == f"awaited/{name}"
    assert done.path is not None
    assert done.path.is_file()
    prompt = {
        "1": node("LoadImage", image=done.value),
        "2": node("PreviewImage", images=["1", 0]),
    }
    history = await connector.run_workflow(prompt, False)
    (output,) = connector.outputs(history)
    assert (await output.image()).convert("RGB").getpixel((3, 3)) == (10, 200, 30)
    assert connector.discard_upload(done.path)
    assert not connector.discard_upload(done.path)
    assert not done.path.exists()


async def test_upload_refuses_what_it_does_not_know(connector: ComfyConnector, tmp_path: Path) -> None:
    """Each with its own error, which names the remedy."""
    with pytest.raises(UploadError, match="need a name"):
        await connector.upload(b"data")
    with pytest.raises(TypeError, match="int"):
        await connector.upload(5)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await connector.upload(tmp_path / "nothing.png")
    with pytest.raises(UploadError):
        await connector.upload(b"data", name="../out.png")
    done = await connector.upload(b"data", name="twice.bin", ephemeral=True)
    with pytest.raises(FileExistsError):
        await connector.upload(b"data", name="twice.bin")
    assert done.path is not None
    assert connector.discard_upload(done.path)


async def test_upload_to_an_attached_server(connector: ComfyConnector, tmp_path: Path) -> None:
    """The same call; there is no path, and nothing that could be deleted."""
    async with await ComfyConnector.attach(connector.server_address, browser="lazy") as other:
        for kind in ("path", "bytes", "image"):
            done = await other.upload(content_of(kind, tmp_path), name=f"attached-{kind}.png", subfolder="attached")
            assert done.value == f"attached/attached-{kind}.png"
            assert done.path is None
        with pytest.raises(UploadError, match="ephemeral"):
            await other.upload(b"data", name="x.png", ephemeral=True)
        assert not other.discard_upload("attached/attached-path.png")
