"""Binary glTF 2.0, and the nodes that save meshes so."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, link, node, text
from comfyui_emulator.nodes.images.files import metadata_parts
from comfyui_emulator.nodes.images.resample import to_bytes
from comfyui_emulator.nodes.solids.meshes import File3D, Item, Mesh, item
from comfyui_emulator.nodes.wording import must_have

JsonObject = dict[str, Any]
_FLOATS, _UNSIGNED, _TRIANGLES = 5126, 5125, 4
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_LINEAR, _CLAMPED = 9729, 33071
"""glTF constants for number types, drawing modes, targets of buffers, and sampling of textures."""

_VERTEX_NAMES = {"uvs": "TEXCOORD_0", "vertex_colors": "COLOR_0", "normals": "NORMAL", "tangents": "TANGENT"}
_TEXTURES = ("texture", "metallic_roughness", "normal_map", "emissive")
Pictures = Mapping[str, JsonObject]
"""Descriptions of the views of PNG files."""


class _Buffer:
    """The binary part of a file."""

    def __init__(self) -> None:
        self.content = b""
        self.views: list[JsonObject] = []
        self.accessors: list[JsonObject] = []

    def store(self, content: bytes) -> JsonObject:
        """Append bytes; returns the description of a view of them."""
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        self.content += content + b"\0" * (-len(content) % 4)
        return view

    def view(self, described: JsonObject) -> int:
        """Add a view; returns its number."""
        self.views.append(described)
        return len(self.views) - 1

    def add_numbers(self, numbers: npt.NDArray[Any], kind: str, target: int, **limits: Any) -> int:
        """Append an array; returns the number of its accessor."""
        view = self.view(self.store(np.ascontiguousarray(numbers).tobytes()) | {"target": target})
        stored = _UNSIGNED if target == _INDEX_BUFFER else _FLOATS
        count = numbers.size if target == _INDEX_BUFFER else len(numbers)
        about = {"bufferView": view, "byteOffset": 0, "componentType": stored, "count": count, "type": kind}
        self.accessors.append(about | limits)
        return len(self.accessors) - 1


def _check(mesh: Item) -> None:
    count = len(mesh.vertices)
    if not count:
        raise ValueError("save_glb: vertices is empty")
    if mesh.faces.size and not 0 <= int(mesh.faces.min()) <= int(mesh.faces.max()) < count:
        limits = f"min={int(mesh.faces.min())}, max={int(mesh.faces.max())}"
        raise ValueError(f"save_glb: face index out of range [0, {count}): {limits}")
    for name in ("uvs", "vertex_colors", "normals"):
        values = getattr(mesh, name)
        if values is not None and len(values) != count:
            raise ValueError(f"save_glb: {name} has {len(values)} entries but vertex count is {count}")
    if mesh.tangents is not None and mesh.tangents.shape != (count, 4):
        shape = tuple(mesh.tangents.shape)
        raise ValueError(f"save_glb: tangents must be (N, 4) with N={count}, got {shape}")


def _attributes(buffer: _Buffer, mesh: Item) -> JsonObject:
    points = mesh.vertices.astype("<f4")
    limits = {"max": points.max(axis=0).tolist(), "min": points.min(axis=0).tolist()}
    found = {"POSITION": buffer.add_numbers(points, "VEC3", _VERTEX_BUFFER, **limits)}
    buffer.add_numbers(mesh.faces.astype("<u4"), "SCALAR", _INDEX_BUFFER)
    for name, attribute in _VERTEX_NAMES.items():
        values = getattr(mesh, name)
        if values is not None and len(values):
            numbers = np.clip(values, 0, 1) if name == "vertex_colors" else values
            found[attribute] = buffer.add_numbers(numbers.astype("<f4"), f"VEC{values.shape[1]}", _VERTEX_BUFFER)
    return found


class _Material:
    """The only material of a file, with its textures."""

    def __init__(self, buffer: _Buffer, pictures: Pictures, attributes: JsonObject) -> None:
        self._buffer, self._attributes = buffer, attributes
        self._pictures = pictures if "TEXCOORD_0" in attributes else {}
        self.extensions: list[str] = []
        self.images: list[JsonObject] = []

    def _texture(self, name: str) -> JsonObject:
        view = self._buffer.view(self._pictures[name])
        self.images.append({"bufferView": view, "mimeType": "image/png"})
        return {"index": len(self.images) - 1, "texCoord": 0}

    def unlit(self) -> JsonObject:
        """A material that shows the colours of vertices as they are."""
        self.extensions.append("KHR_materials_unlit")
        pbr = {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 1.0}
        return {"pbrMetallicRoughness": pbr, "extensions": {"KHR_materials_unlit": {}}, "doubleSided": True}

    def lit(self, mesh: Mesh) -> JsonObject:
        """A material with the mesh's textures and its own factors, grey if there is nothing."""
        own = mesh.material if isinstance(mesh.material, dict) else {}
        pbr: JsonObject = {"metallicFactor": 0.0, "roughnessFactor": 0.5, "baseColorFactor": [0.22, 0.22, 0.22, 1.0]}
        if "texture" in self._pictures:
            pbr["baseColorTexture"] = self._texture("texture")
        if "texture" in self._pictures or "COLOR_0" in self._attributes:
            pbr |= {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "roughnessFactor": 1.0}
        rough: JsonObject | None = None
        if "metallic_roughness" in self._pictures:
            rough = self._texture("metallic_roughness")
            pbr |= {"metallicRoughnessTexture": rough, "metallicFactor": 1.0, "roughnessFactor": 1.0}
        if own.get("base_color_factor") is not None:
            pbr["baseColorFactor"] = [float(value) for value in own["base_color_factor"]]
        for key, name in (("metallic_factor", "metallicFactor"), ("roughness_factor", "roughnessFactor")):
            if own.get(key, -1.0) >= 0.0:
                pbr[name] = float(own[key])
        found: JsonObject = {"pbrMetallicRoughness": pbr, "doubleSided": bool(own.get("double_sided", True))}
        if mesh.occlusion_in_mr and rough is not None:
            found["occlusionTexture"] = rough | {"strength": float(own.get("occlusion_strength", 1.0))}
        if "normal_map" in self._pictures:
            found["normalTexture"] = self._texture("normal_map") | {"scale": float(own.get("normal_scale", 1.0))}
        return found | self._glow(own)

    def _glow(self, own: JsonObject) -> JsonObject:
        factor = [float(value) for value in own.get("emissive_factor", [0.0, 0.0, 0.0])]
        textured = "emissive" in self._pictures
        if not textured and max(factor) <= 0:
            return {}
        found: JsonObject = {"emissiveFactor": [min(1.0, value) for value in factor]}
        if textured:
            found = {"emissiveFactor": found["emissiveFactor"] if max(factor) > 0 else [1.0, 1.0, 1.0]}
            found["emissiveTexture"] = self._texture("emissive")
        strength = float(own.get("emissive_strength", 1.0))
        if strength != 1.0:
            found["extensions"] = {"KHR_materials_emissive_strength": {"emissiveStrength": strength}}
            self.extensions.append("KHR_materials_emissive_strength")
        return found

    def described(self) -> JsonObject:
        """The textures, and the extensions that were used."""
        found: JsonObject = {}
        if self.images:
            sampler = {"magFilter": _LINEAR, "minFilter": _LINEAR, "wrapS": _CLAMPED, "wrapT": _CLAMPED}
            textures = [{"source": number, "sampler": 0} for number in range(len(self.images))]
            found = {"images": self.images, "samplers": [sampler], "textures": textures}
        return found | ({"extensionsUsed": self.extensions} if self.extensions else {})


def _pictures(store: _Buffer, mesh: Mesh, index: int) -> Pictures:
    """Store all textures of a mesh. As in ComfyUI, that includes those that its material does not use."""
    from PIL import Image as Pillow

    found: dict[str, JsonObject] = {}
    for name in _TEXTURES:
        stack = getattr(mesh, name)
        if stack is None:
            continue
        buffer = io.BytesIO()
        Pillow.fromarray(to_bytes(np.clip(stack[index], 0, 1))).save(buffer, format="PNG")
        found[name] = store.store(buffer.getvalue())
    return found


def glb(mesh: Mesh, index: int = 0, extras: JsonObject | None = None) -> bytes | None:
    """One mesh of a batch as a file, ``None`` if it is empty. Raises ``ValueError`` for arrays that do not match."""
    one = item(mesh, index)
    if not len(one.vertices) or not len(one.faces):
        return None
    _check(one)
    buffer = _Buffer()
    attributes = _attributes(buffer, one)
    pictures = _pictures(buffer, mesh, index)
    material = _Material(buffer, pictures, attributes)
    look = material.unlit() if mesh.unlit and "texture" not in pictures else material.lit(mesh)
    primitive = {"attributes": attributes, "indices": 1, "mode": _TRIANGLES, "material": 0}
    asset: JsonObject = {"version": "2.0", "generator": "ComfyUI"}
    described = {
        "asset": asset | ({"extras": extras} if extras else {}),
        "buffers": [{"byteLength": len(buffer.content)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "meshes": [{"primitives": [primitive]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
        **material.described(),
        "materials": [look],
    }
    return _file(json.dumps(described).encode(), buffer.content)


def _file(head: bytes, body: bytes) -> bytes:
    head += b" " * (-len(head) % 4)
    start = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(head) + 8 + len(body))
    return start + struct.pack("<I4s", len(head), b"JSON") + head + struct.pack("<I4s", len(body), b"BIN\0") + body


FILES = "FILE_3D_GLB,FILE_3D_GLTF,FILE_3D_OBJ,FILE_3D_FBX,FILE_3D_STL,FILE_3D_USDZ"
_SPLATS = "FILE_3D_PLY,FILE_3D_SPLAT,FILE_3D_SPZ,FILE_3D_KSPLAT,FILE_3D_SPLAT_ANY,FILE_3D_POINT_CLOUD_ANY"
_NODE: dict[str, Any] = {"module": "comfy_extras.nodes_save_3d", "category": "3d", "v3": True}


@node(
    "SaveGLB",
    {
        "mesh": link(f"MESH,{FILES},{_SPLATS},FILE_3D"),
        "filename_prefix": text(default="3d/ComfyUI", multiline=False),
    },
    "",
    hidden=HIDDEN_METADATA_V3,
    title="Save 3D Model",
    OUTPUT_NODE=True,
    **_NODE,
)
def save_glb(mesh: Mesh | File3D, filename_prefix: str, prompt: Any = None, extra_pnginfo: Any = None) -> JsonObject:
    """Save each mesh that is not empty as a file, with the prompt in its extras; or copy a file."""
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output)
    if isinstance(mesh, File3D):
        name = f"{stem}_{counter:05}_.{mesh.format or 'glb'}"
        mesh.save_to(str(target / name))
        return {"ui": {"3d": [{"filename": name, "subfolder": subfolder, "type": "output"}]}}
    must_have(mesh, "vertices")
    extras = dict(metadata_parts(prompt, extra_pnginfo))
    saved = []
    for index in range(mesh.vertices.shape[0]):
        content = glb(mesh, index, extras)
        if content is None:
            continue
        name = f"{stem}_{counter:05}_.glb"
        (target / name).write_bytes(content)
        saved.append({"filename": name, "subfolder": subfolder, "type": "output"})
        counter += 1
    return {"ui": {"3d": saved}}


@node(
    "MeshToFile3D",
    {"mesh": link("MESH")},
    "FILE_3D_GLB",
    names="model_3d",
    title="Create 3D File (from Mesh)",
    touches={"mesh": "vertices"},
    **_NODE,
)
def to_file(mesh: Mesh) -> File3D:
    """The first mesh of a batch as a GLB file in memory. Raises ``ValueError`` if it is empty."""
    content = glb(mesh)
    if content is None:
        raise ValueError("MeshToFile3D: mesh is empty (no vertices/faces).")
    return File3D(content, "glb")
