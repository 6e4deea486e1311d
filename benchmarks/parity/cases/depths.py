"""Cases of what depth models found: pictures and meshes of it; meshes in colours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.parity.building import Case, Source, case, made
from benchmarks.parity.cases.values import described

ALL = "depth points normal mask sky confidence image intrinsics extrinsics"
PARTS = (ALL, ALL.replace(" normal", "").replace(" intrinsics extrinsics", ""), "depth image", "points image", "image")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from pictures()
    yield from meshes()
    yield from colours()


def found(parts: str, slot: int, *, holes: bool) -> Source:
    """The values of a model."""
    return made("ParityDepths", slot, parts=parts, holes=holes)


def pictures() -> Iterator[Case]:
    """Depths, directions, masks, sky, confidence, and the camera's angle."""
    kinds = ("depth", "depth_colored", "normal_opengl", "normal_directx", "mask")
    for parts, holes, kind in itertools.product(PARTS, (False, True), kinds):
        yield case("MoGeRender", f"{kind} {holes} of {parts}", moge_geometry=found(parts, 0, holes=holes), output=kind)
    for parts, axis, unit in itertools.product(
        (ALL, "intrinsics", "depth image"), ("vertical", "horizontal", "diagonal"), ("degrees", "radians")
    ):
        given = {"moge_geometry": found(parts, 0, holes=False), "axis": axis, "unit": unit}
        yield described("MoGeGeometryToFOV", f"{axis} {unit} of {parts}", (0, 1), **given)
    for parts, scale, clip, kind in itertools.product(
        (ALL, "depth image"), ("v2_style", "min_max", "raw"), (False, True), ("depth", "depth_colored")
    ):
        options = {"output": kind, "output.normalization": scale, "output.apply_sky_clip": clip}
        label = f"{kind} {scale} {clip} of {parts}"
        yield case("DA3Render", label, da3_geometry=found(parts, 1, holes=False), **options)
    for parts, kind, colored in itertools.product((ALL, "depth image"), ("sky_mask", "confidence"), (False, True)):
        options = {"output": kind, "output.colored": colored}
        label = f"{kind} {colored} of {parts}"
        yield case("DA3Render", label, da3_geometry=found(parts, 1, holes=False), **options)


def meshes() -> Iterator[Case]:
    """Points and depths as meshes."""
    shapes = [(parts, holes, *rest) for parts in PARTS for holes in (False, True) for rest in ((1, 0.04), (3, 0.0))]
    for (parts, holes, stride, tear), index in itertools.product(shapes, (0, 1)):
        label = f"{index} {stride} {tear} {holes} of {parts}"
        options = {"batch_index": index, "decimation": stride, "discontinuity_threshold": tear, "texture": True}
        yield described("MoGePointMapToMesh", label, moge_geometry=found(parts, 0, holes=holes), **options)
        if "depth" in parts:
            more = {"confidence_threshold": 0.1, "use_sky_mask": index == 0}
            yield described("DA3GeometryToMesh", label, da3_geometry=found(parts, 1, holes=holes), **options, **more)
    options = {"batch_index": 2, "decimation": 1, "discontinuity_threshold": 0.04, "texture": False}
    yield described("MoGePointMapToMesh", "outside", moge_geometry=found(ALL, 0, holes=False), **options)
    nothing = {"da3_geometry": found(ALL, 1, holes=False), "confidence_threshold": 1.0, "use_sky_mask": True}
    yield described("DA3GeometryToMesh", "outside", **options, **nothing)
    yield described("DA3GeometryToMesh", "empty", **(options | {"batch_index": 0}), **nothing)


def colours() -> Iterator[Case]:
    """Voxels' colours on vertices."""
    for owner, count, several in itertools.product((False, True), (60, 0), (False, True)):
        mesh = made("ParityMesh", parts="uvs", side=5, several=several)
        if several and not owner:
            continue
        given = {"mesh": mesh, "voxel_colors": made("ParityColored", owner=owner, count=count)}
        yield described("PaintMesh", f"{owner} {count} {several}", **given)
