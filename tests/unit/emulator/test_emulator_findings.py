"""What models found, shown and kept: depths, tracked objects, colours of voxels, data sets of trainings."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from comfyui_emulator import runtime
from comfyui_emulator.nodes.conditioning.references import lora_parameters
from comfyui_emulator.nodes.datasets import training
from comfyui_emulator.nodes.datasets.torch_files import read_values, write_values
from comfyui_emulator.nodes.images import depths
from comfyui_emulator.nodes.latents.tensorfile import read_tensors
from comfyui_emulator.nodes.media import tracked
from comfyui_emulator.nodes.solids import point_maps, vertex_paint
from comfyui_emulator.nodes.solids.meshes import Mesh

RAMP = np.linspace(1, 4, 48, dtype=np.float32).reshape(1, 6, 8)
SKY = (RAMP > 3.5).astype(np.float32)


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """A node's context; all folders are the same."""
    with runtime.using(runtime.NodeContext(runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path))) as here:
        yield here.folders


def surface(depth: Any) -> Any:
    """The point of each pixel of a camera without perspective."""
    rows, columns = np.mgrid[: depth.shape[1], : depth.shape[2]].astype(np.float32)
    return np.stack([np.broadcast_to(columns, depth.shape), np.broadcast_to(rows, depth.shape), depth], axis=-1)


def test_near_is_bright() -> None:
    """Depths are shown by their nearness; where there is none, it is black."""
    far = RAMP.copy()
    far[0, 0, 0] = np.inf
    picture = depths.render_moge({"depth": far}, "depth")

    assert picture.shape == (1, 6, 8, 3)
    assert picture[0, 0, 0].tolist() == [0, 0, 0]
    assert (np.diff(picture[0, ..., 0].reshape(-1)[1:]) <= 0).all()
    assert (picture[0, 0, 1, 0], picture[0, 5, 7, 0]) == (1, 0)


def test_directions_come_from_points() -> None:
    """A surface that faces the camera is blue in a normal map; the two conventions differ in green."""
    flat = surface(np.ones((1, 6, 8), np.float32))
    slope = surface(np.broadcast_to(np.arange(6, dtype=np.float32)[:, None], (1, 6, 8)))

    facing = depths.render_moge({"points": flat}, "normal_opengl")[0, 2, 3]
    one, two = (depths.render_moge({"points": slope}, f"normal_{kind}")[0, 2, 3] for kind in ("opengl", "directx"))

    assert facing == pytest.approx([0.5, 0.5, 1], abs=1e-6)
    assert one[1] + two[1] == pytest.approx(1)
    assert one[1] < 0.2, "farther below: it looks down"
    assert depths.render_moge({"normal": flat * 0 + [0, 0, -1]}, "normal_opengl")[0, 0, 0].tolist() == [0.5, 0.5, 1]


@pytest.mark.parametrize("kind", ["depth", "depth_colored", "normal_opengl", "mask"])
def test_what_a_model_did_not_give_is_named(kind: str) -> None:
    """The error says what is missing."""
    with pytest.raises(ValueError, match=kind.split("_", maxsplit=1)[0]):
        depths.render_moge({}, kind)


def test_a_camera_has_an_angle() -> None:
    """It follows from the focal lengths, in widths and heights of the picture."""
    lens = np.array([[[0.5, 0, 0.5], [0, 0.25, 0.5], [0, 0, 1]]], np.float32)
    geometry = {"intrinsics": lens, "image": np.zeros((1, 40, 20, 3), np.float32)}

    assert depths.field_of_view(geometry, "horizontal", "degrees") == pytest.approx((90, 10))
    assert depths.field_of_view(geometry, "vertical", "radians")[0] == pytest.approx(2 * np.arctan(2))
    assert depths.field_of_view(geometry, "diagonal", "degrees")[0] > 126
    with pytest.raises(ValueError, match="intrinsics"):
        depths.field_of_view({}, "vertical", "degrees")


def test_depths_are_scaled() -> None:
    """Near is 1 and far 0 but for raw depths; sky is black, or as far as the land."""
    geometry = {"depth": RAMP, "sky": SKY, "confidence": RAMP}
    balanced = {"output": "depth", "normalization": "v2_style", "apply_sky_clip": False}

    shown = depths.render_depths(geometry, balanced)
    whole = depths.render_depths(geometry, balanced | {"normalization": "min_max"})
    raw = depths.render_depths(geometry, balanced | {"normalization": "raw"})
    small = depths.render_depths(geometry | {"sky": SKY * 0}, balanced | {"apply_sky_clip": True})

    assert shown[SKY > 0].max() == 0
    assert (whole[0, 0, 0, 0], whole[0, -1, -1, 0]) == (1, 0)
    assert np.array_equal(raw[..., 0], RAMP)
    assert small[0, 0, 0, 0] == 1
    assert depths.render_depths(geometry, {"output": "confidence", "colored": False})[0, -1, -1, 0] == 1
    assert depths.render_depths(geometry, {"output": "sky_mask", "colored": True}).shape == (1, 6, 8, 3)
    for wrong in ({"output": "sky_mask", "colored": False}, balanced | {"apply_sky_clip": True}):
        with pytest.raises(ValueError, match="sky"):
            depths.render_depths({"depth": RAMP}, wrong)


def test_clipped_sky_is_as_far_as_the_land() -> None:
    """The farthest land stands for the sky, if there is enough of both."""
    depth, sky = np.full((1, 6, 8), 2, np.float32), np.zeros((1, 6, 8), np.float32)
    depth[:, :3], sky[:, :3] = 100, 1
    output = {"output": "depth", "normalization": "raw", "apply_sky_clip": True}

    assert depths.render_depths({"depth": depth, "sky": sky}, output).max() == 2


def test_a_map_of_points_becomes_a_mesh() -> None:
    """Two triangles between four pixels; none at a jump, none where a point is missing, none of what is sky."""
    step = np.ones((1, 4, 6), np.float32)
    step[:, :, 3:] = 9
    geometry = {"points": surface(step), "depth": step, "image": np.ones((1, 4, 6, 3), np.float32)}

    whole = point_maps.of_points(geometry, 0, 1, 0.0, True)
    torn = point_maps.of_points(geometry, 0, 1, 0.04, False)
    coarse = point_maps.of_points(geometry, 0, 3, 0.0, False)

    assert (whole.vertices.shape, whole.faces.shape) == ((1, 24, 3), (1, 30, 3))
    assert whole.texture is not None
    assert whole.uvs is not None
    assert whole.uvs[0, -1].tolist() == [1, 1]
    assert (torn.vertices.shape[1], torn.faces.shape[1], torn.texture) == (16, 12, None)
    assert coarse.faces.shape[1] == 2
    with pytest.raises(ValueError, match="out of range"):
        point_maps.of_points(geometry, 1, 1, 0.0, False)
    with pytest.raises(ValueError, match="empty mesh"):
        point_maps.of_points(geometry | {"points": np.full((1, 4, 6, 3), np.inf)}, 0, 1, 0.0, False)


def test_depths_become_a_mesh_in_one_space() -> None:
    """A camera's place moves the points; sky and what the model is not sure of are left out."""
    geometry = {"depth": RAMP, "image": np.ones((1, 6, 8, 3), np.float32)}
    moved = np.concatenate([np.eye(3), [[5], [0], [0]]], axis=1)[None, None]

    here = point_maps.of_depths(geometry, 0, 1, 0.0, 0.0, True, False)
    there = point_maps.of_depths(geometry | {"extrinsics": moved}, 0, 1, 0.0, 0.0, True, False)
    land = point_maps.of_depths(geometry | {"sky": SKY}, 0, 1, 0.0, 0.0, True, False)
    sure = point_maps.of_depths(geometry | {"confidence": RAMP}, 0, 1, 0.0, 0.5, True, False)

    assert here.vertices.shape == (1, 48, 3)
    assert there.vertices - here.vertices == pytest.approx(np.broadcast_to([-5, 0, 0], (1, 48, 3)), abs=1e-5)
    assert land.vertices.shape[1] == (SKY == 0).sum()
    assert sure.vertices.shape[1] == 24


BOXES: Any = np.zeros((2, 2, 16, 2), np.uint8)
BOXES[:, 0, :, 1] = 255
BOXES[1, 1, 4:8, 0] = 255
TRACK = {"packed_masks": BOXES, "orig_size": (32, 32), "n_frames": 2}


@pytest.mark.parametrize(("order", "first"), [("none", [0, 0, 1]), ("left_to_right", [0, 0, 1]), ("area", [0, 0, 1])])
def test_identities_keep_their_colours(order: str, first: list[int]) -> None:
    """Objects of earlier frames come first, then those on the left, or large ones; the rest is black or white."""
    video, reference = tracked.identities(TRACK, "", order, False)
    other = tracked.identities(TRACK, "1", order, True, TRACK)

    assert video[1, 0, 31].tolist() == first
    assert video[1, 10, 2].tolist() == [1, 0, 0]
    assert (video[0, 10, 2].tolist(), reference.shape, reference.min()) == ([0, 0, 0], (1, 32, 32, 3), 1)
    assert other[0][1, 10, 2].tolist() == [0, 0, 1]
    assert (other[0][0, 0, 31].tolist(), other[1][0, 0, 31].tolist()) == ([1, 1, 1], [0, 0, 0])


def test_a_mask_is_one_identity() -> None:
    """A mask of a picture to refer to has the first colour; where nothing was tracked, there is only ground."""
    mask = np.zeros((1, 4, 4), np.float32)
    mask[0, 0] = 1
    video, reference = tracked.identities(TRACK | {"packed_masks": None}, "", "area", True, mask)

    assert (video.shape, video.min()) == ((2, 32, 32, 3), 1)
    assert (reference[0, 0, 0].tolist(), reference[0, 3, 3].tolist()) == ([0, 0, 1], [0, 0, 0])


def test_order_by_place_and_by_area() -> None:
    """Two objects of one frame change places."""
    both = BOXES[1:]
    left = tracked.identities(TRACK | {"packed_masks": both}, "", "left_to_right", False)[0]
    large = tracked.identities(TRACK | {"packed_masks": both}, "", "area", False)[0]

    assert (left[0, 10, 2].tolist(), left[0, 0, 31].tolist()) == ([0, 0, 1], [1, 0, 0])
    assert (large[0, 10, 2].tolist(), large[0, 0, 31].tolist()) == ([1, 0, 0], [0, 0, 1])


def test_tracked_objects_are_seen_in_a_video(folders: runtime.Folders) -> None:
    """Each has its colour and its number, over the pictures or on black."""
    av = pytest.importorskip("av", reason="the optional PyAV makes videos")
    large = np.kron(BOXES, np.ones((1, 1, 4, 4), np.uint8)).astype(np.uint8)
    answer = tracked.track_preview({**TRACK, "packed_masks": large, "scores": [0.5]}, None, 1.0, 8.0)

    (file,) = answer["ui"]["images"]
    with av.open(str(folders.temp / file["filename"])) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    painted = tracked._frame({**TRACK, "packed_masks": large}, None, 0, 1.0, (32, 32))

    assert (len(frames), file["type"], answer["ui"]["animated"]) == (2, "temp", (True,))
    assert frames[0].shape == (32, 32, 3)
    assert painted[0, 31] == pytest.approx([0.12, 0.47, 0.71])
    assert (painted == 0).all(axis=-1)[:, 20:].any()


def test_vertices_take_the_colour_of_the_nearest_voxel() -> None:
    """Colours are light: to the power of 2.2. A batch has voxels for each of its meshes, or none."""
    points = np.array([[[-0.5, -0.5, -0.5], [0.4, 0.4, 0.4]]], np.float32)
    cells = np.array([[0, 0, 0], [7, 7, 7]])
    colors = np.array([[1, 0.5, 0, 9], [0, 0, 2, 9]], np.float32)
    mesh = Mesh(points, np.array([[[0, 1, 0]]]), uvs=points[..., :2])

    one = vertex_paint.paint(mesh, SimpleNamespace(data=cells, voxel_colors=colors, resolution=8))
    none = vertex_paint.paint(mesh, SimpleNamespace(data=cells[:0], voxel_colors=colors[:0], resolution=8))
    owned = np.concatenate([[[1], [1]], cells], axis=1)
    both = Mesh(points.repeat(2, axis=0), mesh.faces.repeat(2, axis=0))
    two = vertex_paint.paint(both, SimpleNamespace(data=owned, voxel_colors=colors, resolution=8))

    assert one.vertex_colors is not None
    assert one.vertex_colors[0] == pytest.approx(np.array([[1, 0.5**2.2, 0], [0, 0, 1]]))
    assert one.uvs is mesh.uvs
    assert none.vertex_colors is not None
    assert none.vertex_colors.tolist() == [[[0, 0, 0], [0, 0, 0]]]
    assert two.vertex_colors is not None
    assert two.vertex_colors[0].max() == 0
    assert two.vertex_colors[1] == pytest.approx(one.vertex_colors[0])


def test_data_sets_are_saved_and_loaded(folders: runtime.Folders) -> None:
    """So many samples to a file; a data set is listed, and loaded as it was."""
    latents = [{"samples": np.full((1, 4, 2, 2), k, np.float32), "batch_index": [k]} for k in range(3)]
    conditioning = [[[np.ones((1, 2), np.float16), {"pooled_output": None, "a": ("b", 1.5, True)}]]] * 3
    training.save_dataset(latents, conditioning, ["mine/first"], [2])

    loaded, conditions = training.load_dataset("mine/first")
    about = json.loads((folders.output / "datasets/mine/first/metadata.json").read_text())

    assert training.datasets() == ["mine/first"]
    assert about == {"num_samples": 3, "num_shards": 2, "shard_size": 2}
    assert [one["samples"][0, 0, 0, 0] for one in loaded] == [0, 1, 2]
    assert loaded[2]["batch_index"] == [2]
    assert conditions[0][0][0].dtype == np.float16
    assert conditions[0][0][1] == {"pooled_output": None, "a": ("b", 1.5, True)}
    with pytest.raises(ValueError, match="does not match"):
        training.save_dataset(latents, conditioning[:1], ["mine"], [2])
    for outside, words in (("../x", "outside"), ("", "subfolder"), ("none", "not found"), ("mine", "No shard files")):
        with pytest.raises(ValueError, match=words):
            training.load_dataset(outside)


def test_files_of_arrays_run_no_code(tmp_path: Path) -> None:
    """A file that names anything but arrays is refused; only plain values and arrays are written."""

    class Dangerous:
        def __reduce__(self) -> Any:
            return (print, ("run",))

    path = tmp_path / "x.pkl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Dangerous(), protocol=2))
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        read_values(path)
    with pytest.raises(TypeError, match="BytesIO"):
        write_values(tmp_path / "y.pkl", {"x": io.BytesIO()})
    with pytest.raises(TypeError, match="complex"):
        write_values(tmp_path / "y.pkl", np.zeros(2, np.complex128))


def test_arrays_are_kept_as_they_are(tmp_path: Path) -> None:
    """Turned, empty and single arrays of each type come back; their numbers begin at multiples of 64 bytes."""
    arrays = [np.arange(6, dtype=np.float64).reshape(2, 3).T, np.zeros((0, 3), np.int64), np.array(7, np.uint8)]
    arrays += [np.array([True, False]), np.arange(3, dtype=np.int32), np.ones(2, np.float16)]
    write_values(tmp_path / "x.pkl", {"arrays": arrays, "large": 2**40, "text": "ä"})

    found = read_values(tmp_path / "x.pkl")
    content = (tmp_path / "x.pkl").read_bytes()

    assert (found["large"], found["text"]) == (2**40, "ä")
    assert [one.tolist() for one in found["arrays"]] == [one.tolist() for one in arrays]
    assert [one.dtype for one in found["arrays"]] == [one.dtype for one in arrays]
    assert content.index(np.ascontiguousarray(arrays[0]).tobytes()) % 64 == 0


def test_loras_are_saved(folders: runtime.Folders) -> None:
    """As safetensors, named with the number of steps."""
    training.save_lora({"b": np.ones((2, 1), np.float32), "a": np.zeros(3, np.float32)}, "loras/x", 7)
    training.save_lora({}, "loras/y")

    assert list(read_tensors(folders.output / "loras/x_7_steps_00001_.safetensors")) == ["a", "b"]
    assert (folders.output / "loras/y_00001_.safetensors").exists()


@pytest.mark.parametrize(("told", "factor"), [("2", 2), ("1.6", 2), ("0", 1), ("x", 1), (None, 1)])
def test_a_lora_names_its_factor(told: str | None, factor: int) -> None:
    """The metadata of the model's LoRA have it, or it is 1."""
    metadata = None if told is None else {"some.reference_downscale_factor": told}
    (found,) = lora_parameters(SimpleNamespace(get_attachment=lambda name: metadata))

    assert found == {"reference_downscale_factor": factor}
