"""Values that are files: videos, 3D files and drawings, from ComfyUI's objects and from programs."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.context.test_codecs import written

from discomfort import FileValue, UnsupportedValueError, WorkflowContext
from discomfort.context.codecs import decode, encode
from discomfort.core_values.value_fitting import misfit
from discomfort.exceptions import DamagedDataError

MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(256))


class Video:
    """As ComfyUI's, which offers a path or a stream; ``window`` is the part of it that counts."""

    def __init__(self, source: Any, window: tuple[float, float] = (0.0, 0.0)) -> None:
        self.source, self.window = source, window

    def get_stream_source(self) -> Any:
        return self.source

    def save_to(self, target: io.BytesIO) -> None:
        target.write(b"GIF8 a part")

    def get_active_trim_window(self) -> tuple[float, float]:
        return self.window


class Solid:
    """As ComfyUI's File3D."""

    def __init__(self, data: bytes, kind: str) -> None:
        self.data, self.format = data, kind

    def get_bytes(self) -> bytes:
        return self.data


class SVG:
    """As ComfyUI's."""

    def __init__(self, *parts: bytes) -> None:
        self.data = [io.BytesIO(part) for part in parts]


@pytest.mark.parametrize(
    ("given", "suffix", "data", "kind"),
    [
        (Video(io.BytesIO(MP4)), ".mp4", MP4, "VIDEO"),
        (Video(io.BytesIO(b"\x1a\x45\xdf\xa3....webm")), ".webm", b"\x1a\x45\xdf\xa3....webm", "VIDEO"),
        (Video(io.BytesIO(b"\x1a\x45\xdf\xa3....matroska")), ".mkv", b"\x1a\x45\xdf\xa3....matroska", "VIDEO"),
        (Video(io.BytesIO(MP4), (1.0, 0.0)), ".gif", b"GIF8 a part", "VIDEO"),
        (Solid(b"glTF", ""), ".glb", b"glTF", "FILE_3D"),
        (Solid(b"o", "obj"), ".obj", b"o", "FILE_3D"),
        (Solid(b"?", ""), ".bin", b"?", ""),
        (SVG(b"<svg/>"), ".svg", b"<svg/>", "SVG"),
        (FileValue(b"1", ".STL"), ".stl", b"1", "FILE_3D"),
    ],
)
def test_objects_of_comfyui(given: Any, suffix: str, data: bytes, kind: str) -> None:
    """Their bytes in their own format; of a part of a video, the part."""
    found = decode(*written({"a": [given]}))["a"][0]

    assert found == FileValue(data, suffix)
    assert (found.data, found.suffix, found.kind, len(found)) == (data, suffix, kind, len(data))


def test_video_in_a_file(tmp_path: Path) -> None:
    """Its suffix is kept."""
    (tmp_path / "a.mov").write_bytes(MP4)

    assert decode(*written(Video(str(tmp_path / "a.mov")))) == FileValue(MP4, ".mov")


def test_several_drawings() -> None:
    """They are no single file."""
    with pytest.raises(UnsupportedValueError, match="2 drawings cannot be stored.*Store each"):
        encode(SVG(b"1", b"2"))


@pytest.mark.parametrize("suffix", ["", "mp4", ".", "./x", ".m p", ".ü", ".mp4\n", "." + "a" * 20])
def test_wrong_suffixes(suffix: str) -> None:
    """A suffix may become part of a name."""
    with pytest.raises(ValueError, match="is not the suffix"):
        FileValue(b"", suffix)


def test_files_of_programs(tmp_path: Path) -> None:
    """They are read, kept in a context, saved as they were, exported and pickled."""
    (tmp_path / "cat.mp4").write_bytes(MP4)
    given = FileValue.read(tmp_path / "cat.mp4")
    with WorkflowContext() as context:
        context.save("video", given)
        found = context.load("video")
        assert found == given == pickle.loads(pickle.dumps(given))
        assert found != FileValue(MP4, ".mov")
        assert found.save(tmp_path / "new" / "a.mp4").read_bytes() == MP4
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.mp4"]
        context.export_data("video", str(tmp_path / "b.mp4"))
    assert (tmp_path / "b.mp4").read_bytes() == MP4


def test_damaged_file() -> None:
    """A file of other numbers than bytes, or with a wrong suffix, is refused."""
    codec, data = written({"a": FileValue(b"1" * 8, ".mp4"), "b": np.zeros(8, np.uint8)})
    for wrong in (data.replace(b'".mp4', b'"/mp4'), data.replace(b".mp4", b"....")):
        with pytest.raises(DamagedDataError):
            decode(codec, wrong)


@pytest.mark.parametrize("kind", ["VIDEO", "SVG", "FILE_3D", "FILE_3D_GLB"])
def test_what_fits(kind: str) -> None:
    """A file of that kind, and nothing else."""
    suffix = {"VIDEO": ".mp4", "SVG": ".svg"}.get(kind, ".glb")

    assert misfit(FileValue(b"", suffix), kind) == ""
    assert "FileValue.read('cat." in misfit("cat.mp4", kind)
    assert misfit(FileValue(b"", ".bin"), kind)
