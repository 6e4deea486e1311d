"""Cases of meshes, splats, their files, cameras and viewers."""

from __future__ import annotations

import gzip
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.parity.building import Case, Source, case, load, made
from benchmarks.parity.cases.media import film
from benchmarks.parity.cases.values import described

PARTS = "uvs vertex_colors normals tangents texture metallic_roughness normal_map emissive"
SEEN = {"image": "p_smooth.png", "mask": "p_alpha.png [input]", "normal": "p_noisy.png", "lineart": "p_grey.png"}
CAMERA = {"position": {"x": 1, "y": 2.5, "z": 0}, "zoom": 1}
SPLATS = ("p.ply", "p_points.ply", "p.splat", "p_one.spz", "p_two.spz", "p_three.spz")
VIEW = {"width": 64, "height": 32}


def mesh(parts: str = "", side: int = 5, *, several: bool = False) -> Source:
    """A sheet."""
    return made("ParityMesh", parts=parts, side=side, several=several)


def file(name: str) -> Source:
    """A file for three dimensions."""
    image = SEEN | {"camera_info": CAMERA, "recording": ""}
    return made("Load3D", 6, model_file=f"3d/{name}", image=image, **VIEW)


def splat(name: str = "p.ply") -> Source:
    """The splats of a file."""
    return made("File3DToSplat", model_3d=file(name))


def cases() -> Iterator[Case]:
    """All of them."""
    yield from viewed()
    yield from shown()
    yield from saved_meshes()
    yield from changed_meshes()
    yield from mended_meshes()
    yield from textures()
    yield from baked()
    yield from renderings()
    yield from cameras()
    yield from splats()
    yield from drawn_splats()


def viewed() -> Iterator[Case]:
    """A model and what the viewer recorded of it."""
    for recording, name in itertools.product(("", "p_view.mp4"), ("3d/p_model.glb", "none", "3d/p_missing.glb")):
        image = SEEN | {"camera_info": CAMERA, "recording": recording}
        if not recording:
            image["model_3d_info"] = [{"scale": 2}]
        yield described("Load3D", f"{name} {recording}", range(8), model_file=name, image=image, **VIEW)
    for name, state in itertools.product(("3d/p_model.glb", "none", "3d/p.splat"), ({}, {"camera_info": CAMERA}, "")):
        inputs = {"model_file": name, "viewport_state": state}
        yield described("Load3DAdvanced", f"{name} {state}", range(5), **inputs, **VIEW)
    yield case("Preview3D", "name", (), model_file="3d/none.glb")
    yield case("Preview3D", "file", (), model_file=file("p_model.glb"))
    yield case("Preview3D", "background", (), model_file="x.glb", camera_info=recorded(), bg_image=load("p_smooth.png"))


def shown() -> Iterator[Case]:
    """Files that are shown or saved, and passed on."""
    model = made("MeshToFile3D", mesh=mesh())
    kinds = {"3DAdvanced": model, "GaussianSplat": made("SplatToFile3D", splat=splat(), format="ply")}
    kinds["PointCloud"] = file("p_points.ply")
    for (kind, source), action in itertools.product(kinds.items(), ("Preview", "Save")):
        node = "Preview3DAdvanced" if (kind, action) == ("3DAdvanced", "Preview") else f"{action}{kind}"
        prefix = {"filename_prefix": "parity/shown"} if action == "Save" else {}
        for label, more in {
            "nothing": {"viewport_state": {}},
            "state": {"viewport_state": {"camera_info": CAMERA, "model_3d_info": [1]}},
            "camera": {"viewport_state": {"camera_info": CAMERA}, "camera_info": recorded()},
        }.items():
            yield described(node, f"{kind} {label}", range(5), model_3d=source, **more, **VIEW, **prefix)


def saved_meshes() -> Iterator[Case]:
    """Meshes with all that they can have, as files; and files as they are."""
    prefix = {"filename_prefix": "parity/mesh"}
    chosen = ["", PARTS, "vertex_colors", "texture", "uvs texture", "uvs metallic_roughness", "uvs emissive", "normals"]
    for parts, several in itertools.product(chosen, (False, True)):
        yield case("SaveGLB", f"{parts} {several}", (), mesh=mesh(parts, several=several), **prefix)
    for name in ("p_model.glb", "p.ply", "p.splat"):
        yield case("SaveGLB", name, (), mesh=file(name), **prefix)
    cubes = made("VoxelToMeshBasic", voxel=made("ParityVoxels", seed=1, size=9), threshold=0.6)
    yield case("SaveGLB", "cubes", (), mesh=cubes, **prefix)
    for several in (False, True):
        yield described("MeshToFile3D", several, mesh=mesh(PARTS, several=several))


def changed_meshes() -> Iterator[Case]:
    """Turned, joined and described."""
    for several, angles in itertools.product((False, True), ((0, 0, 0), (90, 0, 0), (0, -45, 0), (10, 20, -300))):
        mode = {"mode": "euler_xyz"} | {f"mode.angle_{axis}": a for axis, a in zip("xyz", angles, strict=True)}
        yield described("RotateMesh", f"{angles} {several}", mesh=mesh(PARTS, several=several), **mode)
    for turn in ((1, 0, 0, 0), (0, 0, 0, 0), (0.5, 0.5, -0.5, 0.5), (0.1, 0, 1, 0)):
        mode = {"mode": "quaternion"} | {f"mode.q{part}": value for part, value in zip("wxyz", turn, strict=True)}
        yield described("RotateMesh", f"quaternion {turn}", mesh=mesh("normals tangents"), **mode)
    for first, second in itertools.product(("", PARTS, "vertex_colors"), ("", "uvs", PARTS)):
        both = {"meshes.mesh0": mesh(first), "meshes.mesh1": mesh(second, 3, several=True)}
        yield described("MergeMeshes", f"{first} {second}", **both)
    yield described("MergeMeshes", "one", **{"meshes.mesh0": mesh()})
    for parts, side, several in (("", 5, False), (PARTS, 4, True), ("", 110, False)):
        yield described("GetMeshInfo", f"{side}", (0, 1), mesh=mesh(parts, side, several=several))


def mended_meshes() -> Iterator[Case]:
    """Welded, closed, and smooth."""
    cubes = made("VoxelToMeshBasic", voxel=made("ParityVoxels", seed=2, size=9), threshold=0.6)
    given = {"cubes": cubes, "sheet": mesh(PARTS), "several": mesh(PARTS, several=True)}
    for (label, source), (share, distance) in itertools.product(given.items(), ((1e-5, 0.0), (0.1, 0.0), (0.0, 0.3))):
        welding = {"epsilon_rel": share, "epsilon_abs": distance}
        yield described("WeldVertices", f"{label} {share} {distance}", mesh=source, **welding)
    for (label, source), (longest, most), chains in itertools.product(
        given.items(), ((0.0, 16), (99.0, 16), (99.0, 1024)), (False, True)
    ):
        options = {"max_perimeter": longest, "weld_epsilon_rel": 1e-5, "max_vertices": most, "fill_chains": chains}
        yield described("FillHoles", f"{label} {longest} {most} {chains}", mesh=source, **options)
    for (label, source), angle in itertools.product(given.items(), (180.0, 30.0, 10.0, 0.0)):
        yield described("MeshSmoothNormals", f"{label} {angle}", mesh=source, crease_angle=angle)


def textures() -> Iterator[Case]:
    """Taken off, put on, and their places."""
    for parts in (PARTS, "texture", "uvs"):
        yield described("MeshTextureToImage", parts, range(5), mesh=mesh(parts))
    base = load("p_smooth.png")
    maps = {"metallic": load("p_noisy.png"), "roughness": base, "occlusion": base, "normal_map": load("p_noisy.png")}
    for names in ((), ("metallic",), ("roughness", "occlusion"), ("normal_map",), tuple(maps)):
        more = {name: maps[name] for name in names}
        for parts, several in ((PARTS, False), ("uvs", True)):
            label = f"{names} {several}"
            yield described("ApplyTextureToMesh", label, mesh=mesh(parts, several=several), base_color=base, **more)
    yield described("ApplyTextureToMesh", "nowhere", mesh=mesh(), base_color=base)
    for parts, several in ((PARTS, False), ("uvs", True), ("", False)):
        yield case("RenderUVAtlas", f"{parts} {several}", mesh=mesh(parts, several=several), resolution=64)


def baked() -> Iterator[Case]:
    """A sheet onto a coarser one, and onto one without places."""
    size = {"resolution": 64}
    for (fine, side), cage, back in itertools.product((("", 9), (PARTS, 5)), (0.05, 0.001), (True, False)):
        options = size | {"cage_distance": cage, "ignore_backfaces": back, "high_poly": mesh(fine, side)}
        yield case("BakeNormalMapFromMesh", f"{side} {cage} {back}", low_poly=mesh("uvs normals"), **options)
        yield case("BakeNormalMapFromMesh", f"{side} {cage} {back} two", low_poly=mesh("uvs", several=True), **options)
    # Rays are random, so that only those that meet nothing give the same on both.
    rays = size | {"samples": 4, "max_distance": 0.01, "strength": 1.0, "bias": 0.2}
    yield case("BakeAmbientOcclusion", "free", low_poly=mesh("uvs"), high_poly=mesh(PARTS), **rays)
    for node, options in (
        ("BakeAmbientOcclusion", rays),
        ("BakeNormalMapFromMesh", size | {"cage_distance": 0.05, "ignore_backfaces": True}),
    ):
        yield case(node, "nowhere", low_poly=mesh(), high_poly=mesh(), **options)


def renderings() -> Iterator[Case]:
    """Meshes as cameras see them."""
    turned = [{"scale": dict.fromkeys("xyz", 1.5), "position": {"x": 0.2, "y": 0, "z": 0}, "quaternion": TURN}]
    for mode in ("auto", "texture", "vertex colors", "solid", "normal", "depth"):
        for parts in ("", "vertex_colors", PARTS):
            options = {"mode": mode, "width": 96, "height": 64, "background": "#204060"}
            yield case("RenderMesh", f"{mode} {parts}", ("image", "mask"), mesh=mesh(parts), **options)
        seen = {"model_3d_info": made("Load3DAdvanced", 1, **state({"model_3d_info": turned})), "camera_info": camera()}
        yield case("RenderMesh", f"{mode} from there", ("image", "mask"), mesh=mesh(PARTS), **options, **seen)


TURN = {"x": 0.0, "y": 0.5, "z": 0.0, "w": 0.75**0.5}


def state(viewport: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a viewer without a model."""
    return {"model_file": "none", "viewport_state": viewport, **VIEW}


LENS = {"roll": 0.0, "fov": 35.0, "zoom": 1.0, "camera_type": "perspective"}
TARGET = {"target_x": 0.0, "target_y": 0.0, "target_z": 0.0}


ORBIT = {"mode": "orbit", "mode.yaw": 20.0, "mode.pitch": 10.0, "mode.distance": 3.0}


def camera() -> Source:
    """A camera on an orbit."""
    return made("CreateCameraInfo", **ORBIT, **LENS, **TARGET)


def recorded() -> Source:
    """The viewer's camera, without a rotation."""
    return made("Load3DAdvanced", 2, **state({"camera_info": CAMERA}))


def cameras() -> Iterator[Case]:
    """On orbits, at places, and turned."""
    aside = {"target_x": 0.5, "target_y": -1.0, "target_z": 2.0}
    turned = LENS | {"roll": 30.0, "zoom": 2.0, "camera_type": "orthographic"}
    angles = ((35, 30), (-200, -89), (0, 0))
    for (yaw, pitch), target, lens in itertools.product(angles, (TARGET, aside), (LENS, turned)):
        mode = {"mode": "orbit", "mode.yaw": yaw, "mode.pitch": pitch, "mode.distance": 2.5}
        yield described("CreateCameraInfo", f"{yaw} {target} {lens}", **mode, **target, **lens)
    for place, lens in itertools.product(((4, 4, 4), (0, 5, 0), (0, 0, 0), (-1, 0, 0)), (LENS, turned)):
        position = {f"mode.position_{axis}": value for axis, value in zip("xyz", place, strict=True)}
        yield described("CreateCameraInfo", f"{place}", mode="look_at", **position, **TARGET, **lens)
        turn = {"mode.quat_x": 0.1, "mode.quat_y": -0.7, "mode.quat_z": 0.0, "mode.quat_w": 0.5}
        yield described("CreateCameraInfo", f"q {place}", mode="quaternion", **position, **turn, **TARGET, **lens)


def splats() -> Iterator[Case]:
    """Read, written, moved, joined and counted."""
    for name in (*SPLATS, "p_model.glb", "p_cut.splat"):
        yield described("File3DToSplat", name, model_3d=file(name))
    for name, kind in itertools.product(("p.ply", "p.splat", "p_three.spz"), ("ply", "ksplat", "spz")):
        written = made("SplatToFile3D", splat=splat(name), format=kind)
        yield described("SplatToFile3D", f"{name} {kind}", splat=splat(name), format=kind)
        yield case("SaveGLB", f"{name} as {kind}", (), mesh=written, filename_prefix="parity/splat")
        yield described("File3DToSplat", f"{name} through {kind}", model_3d=written)
    still: dict[str, Any] = {f"{kind}_{axis}": 0.0 for kind in ("translate", "rotate") for axis in "xyz"}
    still |= {f"scale_{axis}": 1.0 for axis in "xyz"}
    for more in ({}, {"translate_x": 2, "scale_x": 2, "scale_y": 2, "scale_z": 2}, {"rotate_x": 30, "rotate_z": -100}):
        yield described("TransformSplat", f"{more}", splat=splat(), **(still | more))
    for name in ("p.ply", "p.splat"):
        yield described("GetSplatCount", name, (0, 1), splat=splat(name))
    for second in ("p.splat", "p.ply"):
        yield described("MergeSplat", second, **{"splats.splat0": splat(), "splats.splat1": splat(second)})


def drawn_splats() -> Iterator[Case]:
    """As pictures and as meshes."""
    look = {"width": 96, "height": 64, "splat_scale": 1.0, "background": "#306090"}
    plain = {"frames": 1, "sharpen": 2.0, "headlight_shading": 0.0, "opacity_threshold": 0.0}
    flat = made("CreateCameraInfo", **ORBIT, **(LENS | {"camera_type": "orthographic", "roll": 20.0}), **TARGET)
    more: dict[str, dict[str, Any]] = {
        "plain": {},
        "soft": {"sharpen": 1.0, "splat_scale": 3.0},
        "few": {"opacity_threshold": 0.5},
        "none": {"opacity_threshold": 1.0},
        "around": {"frames": -3},
        "camera": {"camera_info": camera()},
        "flat": {"camera_info": flat},
        "aimed": {"camera_info": recorded()},
        "plate": {"bg_image": load("p_anim.png"), "frames": 2},
        "headlight": {"headlight_shading": 1.0},
    }
    few = {label: more[label] for label in ("plain", "flat", "headlight")}
    styles = {"color": more, "clay": few, "depth": few, "normal": few}
    for style, label in ((style, label) for style, labels in styles.items() for label in labels):
        options = plain | look | more[label]
        name = f"{style} {label}"
        yield case("RenderSplat", name, ("image", "mask"), splat=splat("p_ball.ply"), render_style=style, **options)
    grid = {"resolution": 64, "kernel": 5, "smooth": 0, "level": 0.4, "min_component": 0, "min_opacity": 0.02}
    for label, changed in {
        "plain": {},
        "smooth": {"smooth": 3},
        "soft": {"color_sharpen": 1.0},
        "clean": {"min_component": 50},
        "empty": {"min_opacity": 1.0},
        "coarse": {"kernel": 2, "level": 1.0},
    }.items():
        options = grid | {"color_sharpen": 2.0} | changed
        # Colours are sums in half precision, of which the last digits differ: the shape is compared exactly.
        shape = made("SplatToMesh", splat=splat("p_ball.ply"), **options)
        shown = {"mode": "solid", "width": 96, "height": 64, "background": "#000000"}
        if label != "empty":
            drawn = case("RenderMesh", f"splats {label}", ("image", "mask"), mesh=shape, **shown)
            yield drawn._replace(node="SplatToMesh")
        counted = case("GetMeshInfo", f"splats {label}", (None, "text"), mesh=shape)
        yield counted._replace(node="SplatToMesh")


def ball(count: int = 600) -> bytes:
    """Splats on a ball."""
    random = np.random.default_rng(11)
    places = random.standard_normal((count, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    table = np.concatenate(
        [places, places * 2, random.standard_normal((count, 1)) + 2, random.uniform(-4, -2, (count, 3))], axis=1
    )
    numbers = np.concatenate([table, random.standard_normal((count, 4))], axis=1).astype("<f4")
    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"]
    names += ["rot_0", "rot_1", "rot_2", "rot_3"]
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
    return (head + "".join(f"property float {name}\n" for name in names) + "end_header\n").encode() + numbers.tobytes()


def ply(count: int = 7) -> bytes:
    """Splats with harmonics of the first degree."""
    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{k}" for k in range(9)), "opacity"]
    names += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    numbers = np.random.default_rng(5).standard_normal((count, len(names))).astype("<f4")
    numbers[:, names.index("scale_0") : names.index("rot_0")] -= 2
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
    return (head + "".join(f"property float {name}\n" for name in names) + "end_header\n").encode() + numbers.tobytes()


def points() -> bytes:
    """Points with colours."""
    table = np.zeros(5, np.dtype([("place", "<f4", 3), ("color", "u1", 3)]))
    random = np.random.default_rng(6)
    table["place"], table["color"] = random.standard_normal((5, 3)), random.integers(0, 256, (5, 3))
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 5\n"
    head += "".join(f"property float {name}\n" for name in "xyz")
    head += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue")) + "end_header\n"
    return head.encode() + table.tobytes()


def spz(version: int, count: int = 6) -> bytes:
    """Random splats."""
    sizes = {1: 6 + 1 + 3 + 3 + 3, 2: 9 + 1 + 3 + 3 + 3, 3: 9 + 1 + 3 + 3 + 4}
    levels = np.random.default_rng(version).integers(0, 256, count * sizes[version], dtype=np.uint8)
    if version == 1:
        places = np.random.default_rng(9).standard_normal(count * 3).astype("<f2").tobytes()
        levels[: count * 6] = np.frombuffer(places, np.uint8)
    return gzip.compress(struct.pack("<IIIBBBB", 0x5053474E, version, count, 0, 12, 0, 0) + levels.tobytes())


def records() -> bytes:
    """Splats in records of 32 bytes."""
    random = np.random.default_rng(8)
    table = np.zeros(9, np.dtype([("numbers", "<f4", 6), ("levels", "u1", 8)]))
    table["numbers"] = np.abs(random.standard_normal((9, 6))) * 0.2
    table["levels"] = random.integers(0, 256, (9, 8))
    return table.tobytes()


def samples() -> dict[str, bytes]:
    """The files."""
    return {
        "3d/p_model.glb": b"no model, only its name is used",
        "3d/p.ply": ply(),
        "3d/p_ball.ply": ball(),
        "3d/p_points.ply": points(),
        "3d/p.splat": records(),
        "3d/p_cut.splat": records()[:-3],
        "3d/p_one.spz": spz(1),
        "3d/p_two.spz": spz(2),
        "3d/p_three.spz": spz(3),
        "p_view.mp4": film("libx264", "mp4", sound=False),
    }
