"""Pictures: ``open_image_as_tensor`` and ``save_comfy_image_to_disk``, without torch and with a stand-in for it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from discomfort.workflow_tools import WorkflowTools

TOOLS = WorkflowTools()


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays come back, whether or not torch is installed."""
    monkeypatch.setitem(sys.modules, "torch", None)


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_eight_bits_come_back(tmp_path: Path, suffix: str) -> None:
    """Every value of 8 bits survives being read and written."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.stack([values, values[::-1], values.T], axis=-1)
    Image.fromarray(picture).save(tmp_path / f"in{suffix}")
    tensor = TOOLS.open_image_as_tensor(tmp_path / f"in{suffix}")
    TOOLS.save_comfy_image_to_disk(tensor, tmp_path / f"out{suffix}")

    assert (tensor.dtype, tensor.shape) == (np.float32, (1, 16, 16, 3))
    assert (tensor.min(), tensor.max()) == (0.0, 1.0)
    assert (pixels(tmp_path / f"out{suffix}") == picture).all()
    TOOLS.save_comfy_image_to_disk(tensor.astype(np.float64), tmp_path / "64.png")
    assert (pixels(tmp_path / "64.png") == picture).all()


def test_pictures_are_turned_and_lose_transparency(tmp_path: Path) -> None:
    """EXIF says how to turn it; the colour below transparency counts, as "convert to RGB" says."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter clockwise
    Image.new("RGB", (4, 2), "red").save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (1, 1), (255, 0, 0, 0)).save(tmp_path / "clear.png")

    assert TOOLS.open_image_as_tensor(str(tmp_path / "turned.jpg")).shape == (1, 4, 2, 3)
    assert TOOLS.open_image_as_tensor(tmp_path / "clear.png").tolist() == [[[[1, 0, 0]]]]


def test_sixteen_bits_are_not_clipped(tmp_path: Path) -> None:
    """A grey picture of 16 bits has its range from 0 to 1."""
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "grey.png")
    found = TOOLS.open_image_as_tensor(tmp_path / "grey.png")

    assert found.shape == (1, 1, 3, 3)
    assert found[0, 0, :, 0].tolist() == pytest.approx([0, 32768 / 65535, 1])


def test_what_is_not_a_picture(tmp_path: Path) -> None:
    """Pillow's errors come through, and a missing file is FileNotFoundError."""
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(OSError, match="cannot identify"):
        TOOLS.open_image_as_tensor(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError):
        TOOLS.open_image_as_tensor(tmp_path / "none.png")


def test_folders_are_made(tmp_path: Path) -> None:
    """The original makes none. C13."""
    TOOLS.save_comfy_image_to_disk(np.zeros((1, 2, 2, 3)), str(tmp_path / "a" / "b" / "c.png"))

    assert pixels(tmp_path / "a" / "b" / "c.png").shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 4, 5, 3), (4, 5, 3)), ((4, 5, 3), (4, 5, 3)), ((1, 4, 5, 4), (4, 5, 4)), ((4, 5, 4), (4, 5, 4)),
        ((1, 4, 5, 1), (4, 5)), ((4, 5, 1), (4, 5)), ((1, 4, 5), (4, 5)), ((4, 5), (4, 5)),
    ],
)  # fmt: skip
def test_every_shape(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Batches, single pictures and masks, with 1, 3 or 4 channels. The original fails for masks and four channels."""
    TOOLS.save_comfy_image_to_disk(np.full(shape, 0.5), tmp_path / "x.png")

    assert pixels(tmp_path / "x.png").shape == expected
    assert (pixels(tmp_path / "x.png") == 127).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_has_no_transparency(tmp_path: Path, channels: int) -> None:
    """It is dropped."""
    TOOLS.save_comfy_image_to_disk(np.ones((1, 8, 8, channels)), tmp_path / "x.JPG")

    assert pixels(tmp_path / "x.JPG").shape == ((8, 8) if channels == 1 else (8, 8, 3))


def test_a_batch_becomes_several_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first under the given name, the others beside it, and a line in the log."""
    batch = np.linspace(0, 1, 3)[:, None, None, None] * np.ones((3, 2, 2, 3))
    with caplog.at_level(logging.INFO, "discomfort"):
        TOOLS.save_comfy_image_to_disk(batch, tmp_path / "x.png")

    values = {path.name: int(pixels(path)[0, 0, 0]) for path in tmp_path.iterdir()}
    assert values == {"x.png": 0, "x_2.png": 127, "x_3.png": 255}
    assert "a batch of 3 pictures" in caplog.text


def test_numbers_outside_of_the_range(tmp_path: Path) -> None:
    """Are clamped; what is not a number is black; bytes are pixels already."""
    given = np.array([[[[-1.0, 2.0, np.nan], [np.inf, -np.inf, 1.0]]]])
    TOOLS.save_comfy_image_to_disk(given, tmp_path / "x.png")
    TOOLS.save_comfy_image_to_disk(np.full((1, 1, 1, 3), 7, dtype=np.uint8), tmp_path / "y.png")
    TOOLS.save_comfy_image_to_disk(np.ones((2, 2), dtype=bool), tmp_path / "z.png")

    assert pixels(tmp_path / "x.png").tolist() == [[[0, 255, 0], [255, 0, 255]]]
    assert pixels(tmp_path / "y.png").tolist() == [[[7, 7, 7]]]
    assert (pixels(tmp_path / "z.png") == 255).all()


@pytest.mark.parametrize(
    ("value", "name", "error"),
    [
        (np.zeros((1, 2, 2, 2)), "x.png", ValueError), (np.zeros(3), "x.png", ValueError),
        (np.zeros((0, 2, 2, 3)), "x.png", ValueError), (np.zeros((2, 2), dtype=np.int64), "x.png", TypeError),
        ("text", "x.png", TypeError), (np.zeros((2, 2)), "x.what", ValueError), (np.zeros((2, 2)), "x", ValueError),
    ],
)  # fmt: skip
def test_nothing_is_written_of_what_cannot_be(tmp_path: Path, value: Any, name: str, error: type[Exception]) -> None:
    """A typed error comes first, and an existing file stays."""
    with pytest.raises(error):
        TOOLS.save_comfy_image_to_disk(value, tmp_path / "new" / name)

    assert list(tmp_path.iterdir()) == []


class FakeTensor:
    """As much of a torch tensor as the tools use: on another device, of a type that numpy lacks."""

    def __init__(self, array: Any, *, plain: bool = False) -> None:
        self.array, self.plain = array, plain

    def detach(self) -> FakeTensor:
        return self

    def cpu(self) -> FakeTensor:
        return FakeTensor(self.array)

    def is_floating_point(self) -> bool:
        return True

    def float(self) -> FakeTensor:
        return FakeTensor(self.array, plain=True)

    def numpy(self) -> Any:
        assert self.plain, "numpy has no bfloat16"
        return self.array


def test_tensors_of_any_device_and_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are brought to the CPU and to float32 first; and where torch is, a picture is a tensor."""
    TOOLS.save_comfy_image_to_disk(FakeTensor(np.ones((1, 2, 2, 3), np.float32)), tmp_path / "x.png")
    assert (pixels(tmp_path / "x.png") == 255).all()

    torch = ModuleType("torch")
    torch.from_numpy = FakeTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert isinstance(TOOLS.open_image_as_tensor(tmp_path / "x.png"), FakeTensor)
