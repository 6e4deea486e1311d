"""Values of the nodes for three dimensions: meshes, voxels and files."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image

Points = npt.NDArray[np.float32]
Faces = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Voxels:
    """A VOXEL value: ``data`` is ``[batch, depth, height, width]``."""

    data: npt.NDArray[np.float32]


@dataclass(slots=True)
class Mesh:
    """A MESH value: ``vertices`` ``[batch, vertex, 3]``, ``faces`` ``[batch, triangle, 3]``, and what may come with it.

    ``uvs``, ``vertex_colors``, ``normals`` and ``tangents`` are per vertex, the textures are pictures. If items of a
    batch have different sizes, arrays are filled up with zeros, and the counts tell the sizes.
    """

    vertices: Points
    faces: Faces
    uvs: Points | None = None
    vertex_colors: Points | None = None
    texture: Image | None = None
    metallic_roughness: Image | None = None
    vertex_counts: Counts | None = None
    face_counts: Counts | None = None
    unlit: bool = False
    normals: Points | None = None
    tangents: Points | None = None
    normal_map: Image | None = None
    occlusion_in_mr: bool = False
    material: dict[str, Any] | None = None
    emissive: Image | None = None


PER_VERTEX = ("uvs", "vertex_colors", "normals", "tangents")


class Item(NamedTuple):
    """One mesh of a batch."""

    vertices: Points
    faces: Faces
    uvs: Points | None
    vertex_colors: Points | None
    normals: Points | None
    tangents: Points | None


def item(mesh: Mesh, index: int) -> Item:
    """One mesh of a batch, without the zeros at its end."""
    count = faces = None
    if mesh.vertex_counts is not None and mesh.face_counts is not None:
        count, faces = int(mesh.vertex_counts[index]), int(mesh.face_counts[index])
    extra = [None if values is None else values[index, :count] for values in (getattr(mesh, n) for n in PER_VERTEX)]
    return Item(mesh.vertices[index, :count], mesh.faces[index, :faces], *extra)


def sizes(mesh: Mesh) -> tuple[list[int], list[int]]:
    """The numbers of vertices and faces of each mesh of a batch."""
    if mesh.vertex_counts is not None and mesh.face_counts is not None:
        return mesh.vertex_counts.tolist(), mesh.face_counts.tolist()
    count = mesh.vertices.shape[0]
    return [mesh.vertices.shape[1]] * count, [mesh.faces.shape[1]] * count


def filled(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Arrays as one, filled up with zeros to the longest."""
    whole = np.zeros((len(parts), max(len(part) for part in parts), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for index, part in enumerate(parts):
        whole[index, : len(part)] = part
    return whole


def batch(vertices: Sequence[Points], faces: Sequence[Faces], **kept: Any) -> Mesh:
    """Meshes of different sizes as one; ``kept`` are lists of what is per vertex, and whole pictures."""
    for name in PER_VERTEX:
        if kept.get(name) is not None:
            kept[name] = filled(kept[name])
    kept["vertex_counts"] = np.array([len(part) for part in vertices])
    kept["face_counts"] = np.array([len(part) for part in faces])
    return Mesh(filled(vertices), filled(faces), **kept)


@dataclass(slots=True)
class File3D:
    """A FILE_3D value: a path or the content of a file, and its format, such as ``glb``."""

    source: Path | bytes
    format: str = field(default="")

    def __post_init__(self) -> None:
        """Take the format from the name of the file."""
        if not self.format and isinstance(self.source, Path):
            self.format = self.source.suffix.lstrip(".").lower()

    @property
    def is_disk_backed(self) -> bool:
        """Whether it is a file on disk."""
        return isinstance(self.source, Path)

    def get_source(self) -> Any:
        """The path, or the content as a stream."""
        return str(self.source) if isinstance(self.source, Path) else io.BytesIO(self.source)

    def get_bytes(self) -> bytes:
        """The content."""
        return self.source.read_bytes() if isinstance(self.source, Path) else self.source

    def get_data(self) -> io.BytesIO:
        """The content as a stream."""
        return io.BytesIO(self.get_bytes())

    def save_to(self, path: str) -> str:
        """Write a copy, and its folder if it is missing."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.source, bytes):
            target.write_bytes(self.source)
        elif self.source.resolve() != target.resolve():
            shutil.copy2(self.source, target)
        return str(target)


_WHOLE = ("texture", "metallic_roughness", "unlit", "normal_map", "occlusion_in_mr", "material", "emissive")


def pictures_of(mesh: Mesh) -> dict[str, Any]:
    """The textures of a mesh, and its other looks."""
    return {name: getattr(mesh, name) for name in _WHOLE}
