"""Nodes of the frontend's 3D viewers: what they recorded, and files to be shown or saved."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import annotated_path, next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, Entry, Image, Mask, integer, link, node, text
from comfyui_emulator.nodes.images.files import input_path, load_image
from comfyui_emulator.nodes.media.films import Video
from comfyui_emulator.nodes.solids.meshes import File3D

JsonObject = dict[str, Any]
_VIEWER: dict[str, Any] = {"category": "3d", "v3": True, "EXPERIMENTAL": True}
_LOADED = _VIEWER | {"module": "comfy_extras.nodes_load_3d"}
_SIDES: dict[str, Entry] = {"width": integer(1024, 1, 4096, step=1), "height": integer(1024, 1, 4096, step=1)}
_MESHES = (".gltf", ".glb", ".obj", ".fbx", ".stl")
_SPLATS = (".spz", ".splat", ".ply", ".ksplat")
_PASSED = "LOAD3D_MODEL_INFO LOAD3D_CAMERA INT INT"
_PASSED_NAMES = "model_3d model_3d_info camera_info width height"


def _inputs(viewer: str, *endings: str) -> JsonObject:
    root = runtime.context().folders.input
    (root / "3d").mkdir(exist_ok=True)
    found = [path.relative_to(root).as_posix() for path in (root / "3d").rglob("*") if path.suffix.lower() in endings]
    options = {"multiselect": False, "options": ["none", *sorted(found)], "file_upload": True}
    return {"required": {"model_file": ["COMBO", options], viewer: ["LOAD_3D", {}]} | _sides()}


def _sides() -> JsonObject:
    return {name: list(entry) for name, entry in _SIDES.items()}


def _existing(model_file: str, **_: Any) -> bool | str:
    if not model_file or model_file == "none":
        return True
    path = annotated_path(runtime.context().folders, model_file)
    return True if path is not None and path.exists() else f"Invalid 3D model file: {model_file}"


def _model(name: str) -> File3D | None:
    return File3D(input_path(name)) if name and name != "none" else None


def _seen(image: JsonObject, *names: str) -> tuple[tuple[Image, Mask], ...]:
    return tuple(load_image(image[name]) for name in names)


@node(
    "Load3D",
    None,
    "IMAGE MASK STRING IMAGE LOAD3D_CAMERA VIDEO FILE_3D LOAD3D_MODEL_INFO",
    names="image mask mesh_path normal camera_info recording_video model_3d model_3d_info",
    title="Load 3D & Animation",
    INPUT_TYPES=lambda: _inputs("image", *_MESHES, *_SPLATS),
    VALIDATE_INPUTS=_existing,
    **_LOADED,
)
def load_3d(model_file: str, image: JsonObject, width: int, height: int) -> tuple[Any, ...]:
    """The pictures that the viewer took of a model, and the model."""
    picture, mask, normal = _seen(image, "image", "mask", "normal")
    recording = Video(input_path(image["recording"])) if image["recording"] != "" else None
    model = _model(model_file)
    path = "" if model is None else model_file
    info = image.get("model_3d_info", [])
    return picture[0], mask[1], path, normal[0], image["camera_info"], recording, model, info


@node(
    "Load3DAdvanced",
    None,
    f"FILE_3D {_PASSED}",
    names=_PASSED_NAMES,
    title="Load 3D (Advanced)",
    INPUT_TYPES=lambda: _inputs("viewport_state", *_MESHES),
    VALIDATE_INPUTS=_existing,
    **_LOADED,
)
def load_3d_advanced(model_file: str, viewport_state: Any, width: int, height: int) -> tuple[Any, ...]:
    """A model, and what the viewer knows about it."""
    state = viewport_state if isinstance(viewport_state, dict) else {}
    return _model(model_file), state.get("model_3d_info", []), state.get("camera_info"), width, height


_FILES = "FILE_3D_GLB,FILE_3D_GLTF,FILE_3D_FBX,FILE_3D_OBJ,FILE_3D_STL,FILE_3D_USDZ,FILE_3D"
_CAMERA = {"camera_info": ["LOAD3D_CAMERA", {"advanced": True}]}


@node(
    "Preview3D",
    {"model_file": [f"STRING,{_FILES}", {"default": "", "widgetType": "STRING", "multiline": False}]},
    "",
    optional=_CAMERA | {"bg_image": ["IMAGE", {"advanced": True}]},
    hidden=HIDDEN_METADATA_V3,
    title="Preview 3D & Animation",
    OUTPUT_NODE=True,
    **_LOADED,
)
def preview_3d(
    model_file: str | File3D, camera_info: Any = None, bg_image: Image | None = None, **_: Any
) -> JsonObject:
    """Show a model in the viewer. A file is first copied to the output folder."""
    from PIL import Image as Pillow

    folders = runtime.context().folders
    name = model_file
    if isinstance(model_file, File3D):
        name = f"preview3d_{uuid.uuid4().hex}.{model_file.format}"
        model_file.save_to(str(folders.output / name))
    background = None
    if bg_image is not None:
        background = f"bg_{uuid.uuid4().hex}.png"
        levels = (bg_image[0] * np.float32(255)).astype(np.uint8)
        Pillow.fromarray(levels).save(folders.temp / background, compress_level=1)
        background = f"temp/{background}"
    return {"ui": {"result": [name, camera_info, background]}}


def _passed(file: str, model: File3D, state: Any, info: Any, camera: Any, *sides: int) -> JsonObject:
    """The result of the nodes that show a file and pass it on: what is connected counts before the viewer's own."""
    known = state if isinstance(state, dict) else {}
    camera = known.get("camera_info") if camera is None else camera
    info = known.get("model_3d_info", []) if info is None else info
    return {"ui": {"result": [file, camera, info]}, "result": (model, info, camera, *sides)}


# Kind of file, the accepted types, the type that is passed on, and the names of the files shown.
_KINDS = {
    "Preview3DAdvanced": ("Preview 3D (Advanced)", _FILES, "FILE_3D", "preview3d_advanced"),
    "PreviewGaussianSplat": (
        "Preview Splat",
        "FILE_3D_SPLAT_ANY,FILE_3D_PLY,FILE_3D_SPLAT,FILE_3D_SPZ,FILE_3D_KSPLAT",
        "FILE_3D_SPLAT_ANY",
        "preview_splat",
    ),
    "PreviewPointCloud": (
        "Preview Point Cloud",
        "FILE_3D_POINT_CLOUD_ANY,FILE_3D_PLY",
        "FILE_3D_POINT_CLOUD_ANY",
        "preview_pointcloud",
    ),
}
_SAVERS = {
    "Save3DAdvanced": ("Save 3D (Advanced)", "Preview3DAdvanced"),
    "SaveGaussianSplat": ("Save Splat", "PreviewGaussianSplat"),
    "SavePointCloud": ("Save Point Cloud", "PreviewPointCloud"),
}
_SHOWN: dict[str, Any] = _VIEWER | {
    "names": _PASSED_NAMES,
    "optional": {"model_3d_info": ["LOAD3D_MODEL_INFO", {"advanced": True}], **_CAMERA},
    "hidden": HIDDEN_METADATA_V3,
    "OUTPUT_NODE": True,
    "touches": {"model_3d": "format"},
}


def _previewer(name: str) -> None:
    title, types, passed, stem = _KINDS[name]
    inputs = {"model_3d": link(types), "viewport_state": link("LOAD_3D"), **_SIDES}

    @node(name, inputs, f"{passed} {_PASSED}", title=title, module="comfy_extras.nodes_load_3d", **_SHOWN)
    def show(
        model_3d: File3D,
        viewport_state: Any,
        width: int,
        height: int,
        model_3d_info: Any = None,
        camera_info: Any = None,
        **_: Any,
    ) -> JsonObject:
        """Copy a file to the temporary folder for the viewer, and pass it on."""
        file = f"{stem}_{uuid.uuid4().hex}.{model_3d.format}"
        model_3d.save_to(str(runtime.context().folders.temp / file))
        return _passed(file, model_3d, viewport_state, model_3d_info, camera_info, width, height)


def _saver(name: str) -> None:
    title, previewer = _SAVERS[name]
    _, types, passed, _ = _KINDS[previewer]
    prefix = {"filename_prefix": text(default="3d/ComfyUI", multiline=False)}
    inputs = {"model_3d": link(types), **prefix, "viewport_state": link("LOAD_3D"), **_SIDES}

    @node(name, inputs, f"{passed} {_PASSED}", title=title, module="comfy_extras.nodes_save_3d", **_SHOWN)
    def save(
        model_3d: File3D,
        filename_prefix: str,
        viewport_state: Any,
        width: int,
        height: int,
        model_3d_info: Any = None,
        camera_info: Any = None,
        **_: Any,
    ) -> JsonObject:
        """Copy a file to the output folder, show it in the viewer, and pass it on."""
        target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output)
        file = f"{stem}_{counter:05}.{model_3d.format or 'glb'}"
        model_3d.save_to(str(target / file))
        shown = f"{subfolder}/{file}" if subfolder else file
        return _passed(shown, model_3d, viewport_state, model_3d_info, camera_info, width, height)


for _name in _KINDS:
    _previewer(_name)
for _name in _SAVERS:
    _saver(_name)
