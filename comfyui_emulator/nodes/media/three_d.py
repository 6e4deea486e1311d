"""Nodes for 3D: meshes from voxels, saving meshes, recordings of the frontend's viewer."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA, Image, Mask, choice, integer, link, node, number, text
from comfyui_emulator.nodes.images.files import input_path, load_image, metadata_parts
from comfyui_emulator.nodes.media.codecs import Video

JsonObject = dict[str, Any]
Points = npt.NDArray[np.float32]
Faces = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Voxels:
    """A VOXEL value: ``data`` is ``[batch, depth, height, width]``."""

    data: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mesh:
    """A MESH value: ``vertices`` ``[batch, vertex, 3]``, ``faces`` ``[batch, triangle, 3]``."""

    vertices: Points
    faces: npt.NDArray[Any]


# The normal and the corners of each side of a cube, in (depth, height, width); corners as seen from outside.
_SIDES = [
    ((0, 0, 1), ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1))),
    ((0, 0, -1), ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))),
    ((0, 1, 0), ((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1))),
    ((0, -1, 0), ((0, 0, 0), (0, 0, 1), (1, 0, 1), (1, 0, 0))),
    ((1, 0, 0), ((1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0))),
    ((-1, 0, 0), ((0, 1, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0))),
]


def _centred(points: npt.NDArray[Any], longest: int) -> Points:
    """Convert grid coordinates to (x, y, z) from -1 to 1."""
    half = np.float32(longest / 2)
    placed: Points = ((points.astype(np.float32) - half) / half)[:, ::-1]
    return np.ascontiguousarray(placed)


def cubes(voxels: npt.NDArray[np.float32], threshold: float) -> tuple[Points, npt.NDArray[Any]]:
    """The outer sides of all cells above the threshold, as two triangles each."""
    solid = np.argwhere(voxels > threshold)
    padded = np.pad(voxels > threshold, 1)
    vertices: list[npt.NDArray[np.int64]] = []
    faces: list[Faces] = []
    count = 0
    for way, corners in _SIDES:
        around = solid + np.array(way) + 1
        shown = solid[~padded[around[:, 0], around[:, 1], around[:, 2]]]
        if not len(shown):
            continue
        vertices.append((shown[:, None] + np.array(corners)).reshape(-1, 3))
        square = np.arange(count, count + 4 * len(shown)).reshape(-1, 4)
        faces += [square[:, [0, 1, 2]], square[:, [0, 2, 3]]]
        count += 4 * len(shown)
    if not vertices:
        empty = np.zeros((1, 3), dtype=np.float32)
        return _centred(empty, max(voxels.shape)), empty
    return _centred(np.concatenate(vertices), max(voxels.shape)), np.concatenate(faces)


_CORNERS = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))


def _crossings(values: Points, inside: npt.NDArray[np.bool_], threshold: float) -> tuple[Points, npt.NDArray[np.intp]]:
    """The mean of the points where a cell's edges cross the surface, and the order of cells by their first edge."""
    total = np.zeros((len(values), 3), dtype=np.float32)
    number_of = np.zeros(len(values), dtype=np.int64)
    first = np.full(len(values), len(_EDGES))
    for edge, (start, end) in enumerate(_EDGES):
        cells = np.nonzero(inside[:, start] != inside[:, end])[0]
        low, high = values[cells, start], values[cells, end]
        share = ((np.float32(threshold) - low) / (high - low))[:, None]
        begin, step = _CORNERS[start].astype(np.float32), (_CORNERS[end] - _CORNERS[start]).astype(np.float32)
        total[cells] += begin + share * step
        number_of[cells] += 1
        first[cells] = np.minimum(first[cells], edge)
    mean = (total / number_of[:, None]).astype(np.float32)
    return mean, np.lexsort((np.arange(len(values)), first))


def _gradients(inside: npt.NDArray[np.bool_]) -> Points:
    """Vectors from the mean of the outer corners to that of the inner corners."""
    means = [side @ _CORNERS.astype(np.float32) / side.sum(axis=1, keepdims=True) for side in (inside, ~inside)]
    gradient: Points = (means[0] - means[1]).astype(np.float32)
    return gradient


def surface_net(voxels: npt.NDArray[np.float32], threshold: float) -> tuple[Points, Faces]:
    """Gibson's surface nets: a vertex in every cell that the surface crosses, and quads between neighbours."""
    padded = np.pad(voxels, 1)
    cells = np.indices(voxels.shape).reshape(3, -1).T
    corners = cells[:, None] + _CORNERS
    values = padded[corners[..., 0], corners[..., 1], corners[..., 2]]
    inside = values > threshold
    crossed = inside.any(axis=1) & ~inside.all(axis=1)
    if not crossed.any():
        return np.zeros((0, 3), dtype=np.float32), np.zeros((0, 3), dtype=np.int64)
    cells, values, inside = cells[crossed], values[crossed], inside[crossed]
    points, order = _crossings(values, inside, threshold)
    vertices = (points + cells)[order]
    number_of = np.full(np.array(voxels.shape) + 1, -1)
    number_of[tuple(cells[order].T)] = np.arange(len(order))
    gradients, faces = _gradients(inside), []
    for one, two, sense in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        steps = np.eye(3, dtype=np.int64)
        square = np.stack(
            [number_of[tuple((cells + step).T)] for step in (0, steps[one], steps[two], steps[one] + steps[two])],
            axis=1,
        )
        # The cross product of the first and the last axis has the opposite direction.
        forward = gradients[:, sense] * (-1 if sense == 1 else 1) > 0
        whole = (square >= 0).all(axis=1)
        turns = np.where(forward[whole, None], [0, 1, 3, 0, 3, 2], [0, 3, 1, 0, 2, 3])
        faces.append(np.take_along_axis(square[whole], turns, axis=1).reshape(-1, 3))
    return _centred(vertices, max(voxels.shape)), np.concatenate(faces)


def _meshes(voxel: Voxels, threshold: float, method: Any) -> Mesh:
    data = np.asarray(voxel.data, dtype=np.float32)
    made = [method(item, threshold) for item in data]
    return Mesh(np.stack([vertices for vertices, _ in made]), np.stack([faces for _, faces in made]))


_HUNYUAN: dict[str, Any] = {"module": "comfy_extras.nodes_hunyuan3d", "category": "3d"}
_VOXEL, _THRESHOLD = {"voxel": link("VOXEL")}, {"threshold": number(0.6, -1.0, 1.0, step=0.01)}


@node("VoxelToMeshBasic", {**_VOXEL, **_THRESHOLD}, "MESH", **_HUNYUAN)
def voxel_to_mesh_basic(voxel: Voxels, threshold: float) -> Mesh:
    """A mesh of cubes. As in ComfyUI, raises ``ValueError`` if items of a batch have different numbers of sides."""
    return _meshes(voxel, threshold, cubes)


@node("VoxelToMesh", {**_VOXEL, "algorithm": choice(["surface net", "basic"]), **_THRESHOLD}, "MESH", **_HUNYUAN)
def voxel_to_mesh(voxel: Voxels, algorithm: str, threshold: float) -> Mesh:
    """A mesh of cubes or a smoother surface."""
    return _meshes(voxel, threshold, cubes if algorithm == "basic" else surface_net)


_FLOATS, _UNSIGNED, _TRIANGLES = 5126, 5125, 4
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
"""glTF 2.0 constants for number types, drawing modes and buffer targets."""


def glb(vertices: Points, faces: npt.NDArray[Any], extras: JsonObject) -> bytes:
    """Encode one mesh as a binary glTF 2.0 file."""
    points = np.ascontiguousarray(vertices, dtype="<f4")
    indices = np.ascontiguousarray(faces, dtype="<u4")
    first, second = points.tobytes(), indices.tobytes()
    views = [
        {"buffer": 0, "byteOffset": 0, "byteLength": len(first), "target": _VERTEX_BUFFER},
        {"buffer": 0, "byteOffset": len(first), "byteLength": len(second), "target": _INDEX_BUFFER},
    ]
    limits = {"max": points.max(axis=0).tolist(), "min": points.min(axis=0).tolist()}
    description = {
        "asset": {"version": "2.0", "generator": "ComfyUI", "extras": extras},
        "buffers": [{"byteLength": len(first) + len(second)}],
        "bufferViews": views,
        "accessors": [
            {
                "bufferView": 0,
                "byteOffset": 0,
                "componentType": _FLOATS,
                "count": len(points),
                "type": "VEC3",
                **limits,
            },
            {"bufferView": 1, "byteOffset": 0, "componentType": _UNSIGNED, "count": indices.size, "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": _TRIANGLES}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    head = json.dumps(description).encode()
    head += b" " * (-len(head) % 4)
    body = first + second
    total = 12 + 8 + len(head) + 8 + len(body)
    start = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(head), b"JSON")
    return start + head + struct.pack("<I4s", len(body), b"BIN\0") + body


@node(
    "SaveGLB",
    {"mesh": link("MESH"), "filename_prefix": text(default="mesh/ComfyUI")},
    "",
    hidden=HIDDEN_METADATA,
    OUTPUT_NODE=True,
    **_HUNYUAN,
)
def save_glb(mesh: Mesh, filename_prefix: str, prompt: Any = None, extra_pnginfo: Any = None) -> JsonObject:
    """Save each mesh as a file, with the prompt in its extras."""
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output)
    extras = dict(metadata_parts(prompt, extra_pnginfo))
    saved = []
    for vertices, faces in zip(mesh.vertices, mesh.faces, strict=True):
        name = f"{stem}_{counter:05}_.glb"
        (target / name).write_bytes(glb(vertices, faces, extras))
        saved.append({"filename": name, "subfolder": subfolder, "type": "output"})
        counter += 1
    return {"ui": {"3d": saved}}


_VIEWER: dict[str, Any] = {"module": "comfy_extras.nodes_load_3d", "category": "3d", "EXPERIMENTAL": True}
_SIDE = integer(1024, 1, 4096, step=1)


def _models(*endings: str) -> JsonObject:
    root = runtime.context().folders.input
    (root / "3d").mkdir(exist_ok=True)
    found = [path.relative_to(root).as_posix() for path in (root / "3d").rglob("*") if path.suffix.lower() in endings]
    return {"model_file": [sorted(found), {"file_upload": True}]}


def _inputs(kind: str, *endings: str) -> JsonObject:
    return {"required": {**_models(*endings), "image": [kind, {}], "width": _SIDE, "height": _SIDE}}


def _seen(image: JsonObject, *names: str) -> tuple[tuple[Image, Mask], ...]:
    return tuple(load_image(image[name]) for name in names)


def _recording(image: JsonObject) -> Video | None:
    return Video(input_path(image["recording"])) if image["recording"] else None


@node(
    "Load3D",
    None,
    "IMAGE MASK STRING IMAGE IMAGE LOAD3D_CAMERA VIDEO",
    names="image mask mesh_path normal lineart camera_info recording_video",
    title="Load 3D",
    INPUT_TYPES=lambda: _inputs("LOAD_3D", ".gltf", ".glb", ".obj", ".fbx", ".stl"),
    **_VIEWER,
)
def load_3d(model_file: str, image: JsonObject, width: int, height: int) -> tuple[Any, ...]:
    """Load the pictures that the viewer took of a model."""
    picture, mask, normal, lines = _seen(image, "image", "mask", "normal", "lineart")
    return picture[0], mask[1], model_file, normal[0], lines[0], image["camera_info"], _recording(image)


@node(
    "Load3DAnimation",
    None,
    "IMAGE MASK STRING IMAGE LOAD3D_CAMERA VIDEO",
    names="image mask mesh_path normal camera_info recording_video",
    title="Load 3D - Animation",
    INPUT_TYPES=lambda: _inputs("LOAD_3D_ANIMATION", ".gltf", ".glb", ".fbx"),
    **_VIEWER,
)
def load_3d_animation(model_file: str, image: JsonObject, width: int, height: int) -> tuple[Any, ...]:
    """Load the pictures that the viewer took of an animated model."""
    picture, mask, normal = _seen(image, "image", "mask", "normal")
    return picture[0], mask[1], model_file, normal[0], image["camera_info"], _recording(image)


_SHOWN: dict[str, Any] = _VIEWER | {"optional": {"camera_info": ["LOAD3D_CAMERA", {}]}, "OUTPUT_NODE": True}
_MODEL = {"model_file": text(default="", multiline=False)}


@node("Preview3D", _MODEL, "", title="Preview 3D", **_SHOWN)
@node("Preview3DAnimation", _MODEL, "", title="Preview 3D - Animation", **_SHOWN)
def preview_3d(model_file: str, camera_info: Any = None) -> JsonObject:
    """Show a model in the viewer."""
    return {"ui": {"result": [model_file, camera_info]}}
