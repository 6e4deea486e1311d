"""Meshes, splats, their files, cameras and viewers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import BUILT_IN
from comfyui_emulator.nodes.solids import cameras, glb, mesh_edits, splat_files, splats, viewers, voxels
from comfyui_emulator.nodes.solids.meshes import File3D, Mesh, batch
from comfyui_emulator.nodes.solids.quaternions import about_axes, matrices, of_matrices

RANDOM = np.random.default_rng(4)
N = Any


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """A node's context; all folders are the same."""
    with runtime.using(runtime.NodeContext(runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path))) as here:
        yield here.folders


def triangle(**more: Any) -> Mesh:
    """One triangle."""
    points = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]]], np.float32)
    return Mesh(points, np.array([[[0, 1, 2]]]), **more)


def described(content: bytes) -> Any:
    """The description in a GLB file."""
    return json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])


def some(count: int = 5, degree: int = 4) -> splats.Splat:
    """Random splats."""
    turns = about_axes([10, 20, 30])
    return splats.Splat(
        RANDOM.standard_normal((1, count, 3)).astype(np.float32),
        np.abs(RANDOM.standard_normal((1, count, 3))).astype(np.float32) + np.float32(0.1),
        np.broadcast_to(turns, (1, count, 4)).astype(np.float32),
        RANDOM.uniform(0.1, 0.9, (1, count, 1)).astype(np.float32),
        RANDOM.standard_normal((1, count, degree, 3)).astype(np.float32) * np.float32(0.3),
    )


def test_meshes_of_voxels(folders: runtime.Folders) -> None:
    """A cube has six sides, a ball is closed, and both are saved as binary glTF; unlike items keep their sizes."""
    cube = np.zeros((2, 4, 4, 4), np.float32)
    cube[0, 1, 1, 1] = cube[1, 1:3, 1, 1] = 1
    place = np.linspace(-1, 1, 12, dtype=np.float32)
    ball = 1.3 - np.sqrt(sum(axis**2 for axis in np.meshgrid(place, place, place)))

    mesh = voxels.voxel_to_mesh_basic(SimpleNamespace(data=cube), 0.5)
    vertices, faces = voxels.surface_net(ball.astype(np.float32), 0.6)
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    answer = glb.save_glb(mesh, "x", {"1": {}})

    assert (mesh.vertices.shape, mesh.faces.shape) == ((2, 40, 3), (2, 20, 3))
    assert mesh.face_counts is not None
    assert mesh.face_counts.tolist() == [12, 20]
    assert set(np.unique(sides, axis=0, return_counts=True)[1].tolist()) == {2}
    assert np.abs(vertices).max() < 1
    assert [file["filename"] for file in answer["ui"]["3d"]] == ["x_00001_.glb", "x_00002_.glb"]
    assert described((folders.output / "x_00001_.glb").read_bytes())["asset"]["extras"] == {"prompt": '{"1": {}}'}
    assert voxels.surface_net(np.zeros((2, 2, 2), np.float32), 0.5)[1].shape == (0, 3)
    assert voxels.cubes(np.zeros((2, 2, 2), np.float32), 0.5)[0].shape == (1, 3)


def test_files_of_meshes_have_their_material() -> None:
    """Colours and textures are written, textures only with places for them; wrong arrays are refused by name."""
    places = np.zeros((1, 3, 2), np.float32)
    picture = np.full((1, 2, 2, 3), 0.5, np.float32)

    plain = described(glb.glb(triangle()) or b"")
    full = described(
        glb.glb(triangle(uvs=places, texture=picture, metallic_roughness=picture, occlusion_in_mr=True)) or b""
    )
    unplaced = described(glb.glb(triangle(texture=picture)) or b"")
    shining = described(glb.glb(triangle(unlit=True, vertex_colors=np.ones((1, 3, 3), np.float32))) or b"")
    own = {"emissive_factor": [2, 0, 0], "emissive_strength": 3.0, "metallic_factor": 0.7}
    chosen = described(glb.glb(triangle(material=own)) or b"")

    assert plain["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"][0] == 0.22
    assert list(full["meshes"][0]["primitives"][0]["attributes"]) == ["POSITION", "TEXCOORD_0"]
    assert full["materials"][0]["occlusionTexture"] == {"index": 1, "texCoord": 0, "strength": 1.0}
    assert "images" not in unplaced
    assert shining["extensionsUsed"] == ["KHR_materials_unlit"]
    assert chosen["materials"][0]["emissiveFactor"] == [1.0, 0, 0]
    assert chosen["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] == 0.7
    with pytest.raises(ValueError, match="face index out of range"):
        glb.glb(Mesh(triangle().vertices, np.array([[[0, 1, 3]]])))
    with pytest.raises(ValueError, match="tangents must be"):
        glb.glb(triangle(tangents=np.zeros((1, 3, 3), np.float32)))
    with pytest.raises(ValueError, match="mesh is empty"):
        glb.to_file(Mesh(np.zeros((1, 0, 3), np.float32), np.zeros((1, 0, 3), int)))


def test_meshes_are_turned_and_joined() -> None:
    """Half a turn about z negates x and y; joined meshes keep their own corners, and get what others have."""
    turned = mesh_edits.rotate(
        triangle(normals=np.ones((1, 3, 3), np.float32)),
        {"mode": "euler_xyz", "angle_x": 0.0, "angle_y": 0.0, "angle_z": 180.0},
    )
    still = triangle()
    colored = triangle(vertex_colors=np.zeros((1, 3, 4), np.float32))
    merged = mesh_edits.merge_meshes({"mesh0": still, "mesh1": batch([colored.vertices[0]], [colored.faces[0]])})
    both = mesh_edits.merge_meshes({"mesh0": still, "mesh1": colored})

    assert np.allclose(turned.vertices[0, 1], [-1, 0, 0], atol=1e-6)
    assert turned.normals is not None
    assert np.allclose(turned.normals[0, 0], [-1, -1, 1], atol=1e-6)
    assert merged.faces.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert merged.vertex_colors is None
    assert both.vertex_colors is not None
    assert both.vertex_colors[0, :, 3].tolist() == [1, 1, 1, 0, 0, 0]
    unit = {"mode": "quaternion", "qw": 2.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}
    assert mesh_edits.rotate(still, unit) is still
    with pytest.raises(ValueError, match="zero magnitude"):
        mesh_edits.rotate(still, unit | {"qw": 0.0})


def test_a_mesh_is_described() -> None:
    """The text has counts in groups of three, of each mesh of a batch, and what else there is."""
    several = batch([np.zeros((12345, 3), np.float32), np.zeros((2, 3), np.float32)], [np.zeros((1, 3), int)] * 2)
    info = mesh_edits.describe(several)["result"][1].splitlines()

    assert info[:3] == ["Batch:      2 meshes", "Vertices:   12,347 (12.3K) total", "Faces:      2 total"]
    assert info[3].split() == ["[0]", "12,345", "verts", "·", "1", "faces"]
    textured = mesh_edits.describe(triangle(texture=np.zeros((1, 4, 8, 3), np.float32)))
    assert textured["result"][1].endswith("Attributes: texture 4\N{MULTIPLICATION SIGN}8")


def test_rotations_are_consistent() -> None:
    """A quaternion and its matrix are the same rotation, also where the matrix has no positive trace."""
    for angles in ((0, 0, 0), (180, 0, 0), (0, 180, 0), (0, 0, 180), (30, -100, 270)):
        turn = about_axes(angles)
        back = of_matrices(matrices(turn))
        assert abs(float(turn @ back)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("kind", "precision"), [("ply", 1e-4), ("ksplat", 0.02), ("spz", 0.2)])
def test_splats_survive_their_files(kind: str, precision: float) -> None:
    """What is read is what was written, as exactly as the format allows; all but PLY lose the harmonics."""
    given = some()

    file = splat_files.to_file(given, kind)
    found = splat_files.from_file(File3D(file.get_bytes()))

    assert splat_files.detected(file.get_bytes()) == kind
    for name in ("positions", "scales", "opacities"):
        assert np.abs(getattr(found, name) - getattr(given, name)).max() < precision
    assert np.abs(np.abs((found.rotations * given.rotations).sum(axis=-1)) - 1).max() < precision
    assert found.sh.shape[2] == (4 if kind == "ply" else 1)


def test_what_is_no_splat_is_refused() -> None:
    """The error says what is wrong with the file."""
    for content, kind, message in (
        (b"12345", "", "could not determine splat format"),
        (b"x" * 33, "splat", "multiple of 32"),
        (b"ply\n", "", "missing end_header"),
        (b"ply\nformat ascii 1.0\nend_header\n", "", "unsupported PLY format 'ascii'"),
        (b"\1\1", "ksplat", "unsupported .ksplat version 1.1"),
        (bytes(20) + b"\7\0" + bytes(5000), "ksplat", "compression level 7"),
        (bytes(9999), "ksplat", "no splats"),
    ):
        with pytest.raises(ValueError, match=message):
            splat_files.from_file(File3D(content, kind))
    with pytest.raises(ValueError, match="gaussian is empty"):
        splat_files.to_file(some(0), "ply")


def test_splats_are_moved_joined_and_counted() -> None:
    """Turning, scaling and moving change places, and also shapes if the scales differ; joined ones are counted."""
    still: dict[str, float] = {f"{kind}_{axis}": 0.0 for kind in ("translate", "rotate") for axis in "xyz"}
    still |= {f"scale_{axis}": 1.0 for axis in "xyz"}
    given = some()

    moved = splats.transform(given, **(still | {"translate_x": 2.0, "rotate_z": 90.0}))
    bent = splats.transform(given, **(still | {"scale_x": 3.0}))
    both = splats.merge_splats({"splat0": given, "splat1": some(3, 1)})

    assert np.allclose(moved.positions[0, :, 0], 2 - given.positions[0, :, 1], atol=1e-5)
    spread = matrices(given.rotations[0]) * given.scales[0][:, None, :]
    after = matrices(bent.rotations[0]) * bent.scales[0][:, None, :]
    wanted = np.diag([3, 1, 1]) @ spread @ np.swapaxes(spread, 1, 2) @ np.diag([3, 1, 1])
    assert np.allclose(after @ np.swapaxes(after, 1, 2), wanted, atol=1e-3)
    assert splats.count_splats(both)[1] == 8
    assert both.sh.shape == (1, 8, 4, 3)
    with pytest.raises(ValueError, match="batch size mismatch"):
        splats.merge_splats({"splat0": given, "splat1": splats.Splat(*(np.zeros((2, 1, k)) for k in (3, 3, 4, 1, 3)))})


def test_a_camera_looks_at_its_target() -> None:
    """On an orbit or at a place, its -z axis points there; roll turns it about that axis."""
    lens = {"roll": 0.0, "fov": 35.0, "zoom": 1.0, "camera_type": "perspective"}
    aim = {"target_x": 1.0, "target_y": 0.0, "target_z": 0.0}

    (orbit,) = cameras.create_camera({"mode": "orbit", "yaw": 90.0, "pitch": 0.0, "distance": 2.0}, **lens, **aim)
    above = {"mode": "look_at", "position_x": 1.0, "position_y": 5.0, "position_z": 0.0}
    (down,) = cameras.create_camera(above, **(lens | {"roll": 90.0}), **aim)

    assert orbit["position"] == pytest.approx({"x": 3.0, "y": 0.0, "z": 0.0}, abs=1e-6)
    turn = np.array([orbit["quaternion"][part] for part in "wxyz"])
    assert matrices(turn)[:, 2] == pytest.approx([1, 0, 0], abs=1e-6)
    assert down["cameraType"] == "perspective"
    turn = np.array([down["quaternion"][part] for part in "wxyz"])
    assert matrices(turn)[:, 2] == pytest.approx([0, 1, 0], abs=1e-6)


def test_viewers(folders: runtime.Folders) -> None:
    """The viewer's uploads are returned with the model; files are copied where the frontend finds them."""
    Pillow.new("RGBA", (4, 4), (255, 0, 0, 128)).save(folders.input / "v.png")
    (folders.input / "3d").mkdir()
    (folders.input / "3d" / "x.glb").write_bytes(b"model")
    seen = {"image": "v.png", "mask": "v.png", "normal": "v.png", "camera_info": {"zoom": 1}, "recording": "v.mp4"}

    full = viewers.load_3d("3d/x.glb", seen, 4, 4)
    none = viewers.load_3d("none", seen | {"recording": ""}, 4, 4)
    model = full[6]
    shown = viewers.preview_3d(model, None, np.ones((1, 2, 2, 3), np.float32))["ui"]["result"]
    saver, previewer = (BUILT_IN[name][0]().run for name in ("Save3DAdvanced", "Preview3DAdvanced"))  # type: ignore[attr-defined]
    inputs = {"model_3d": model, "viewport_state": {"camera_info": 7, "model_3d_info": [8]}, "width": 1, "height": 2}
    saved = saver(filename_prefix="a/b", **inputs)
    passed = previewer(camera_info=9, **inputs)

    assert (full[2], full[4], full[7]) == ("3d/x.glb", {"zoom": 1}, [])
    assert full[5].path == folders.input / "v.mp4"
    assert (none[2], none[5], none[6]) == ("", None, None)
    assert (folders.output / shown[0]).read_bytes() == b"model"
    assert shown[2].startswith("temp/bg_")
    assert saved["ui"]["result"] == ["a/b_00001.glb", 7, [8]]
    assert (folders.output / "a" / "b_00001.glb").read_bytes() == b"model"
    assert passed["result"] == (model, [8], 9, 1, 2)
    assert (folders.temp / passed["ui"]["result"][0]).read_bytes() == b"model"
    with pytest.raises(AttributeError, match="'int' object has no attribute 'format'"):
        previewer(**(inputs | {"model_3d": 5}))
