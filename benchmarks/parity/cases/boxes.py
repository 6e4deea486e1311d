"""Cases of bounding boxes, and of nodes that crop pictures by boxes and masks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.parity.building import Builder, Case, Source, case, load, made, ramp
from benchmarks.parity.cases.values import described

COLORS = ["#ff8800", "#102030", "#00ff00", "", "#abc", "#aabbcc", "#ddeeff"]
DRAWN = [
    {"x": 100, "y": 50, "width": 300, "height": 200, "metadata": {"type": "obj", "desc": "a dog\nthat runs and runs"}},
    {
        "x": 500,
        "y": 300,
        "width": 400,
        "height": 600,
        "metadata": {"type": "text", "text": "Hello", "desc": "above", "palette": COLORS},
    },
    {"x": 900, "y": 900, "width": -400, "height": -100, "metadata": {"palette": ["#202020"], "desc": "backwards"}},
    {"x": -20, "y": 1000, "width": 9, "height": 80, "metadata": 3},
]
ELEMENTS = [
    {"type": "text", "bbox": [100, 200, 500, 400], "text": "Hi", "desc": "d", "color_palette": ["#ff0000"]},
    {"type": "obj", "bbox": [900, 800, 500, 400]},
]
FOUND = [
    [
        {"x": 3.6, "y": 4.2, "width": 20.5, "height": 11.0, "label": "cat", "score": 0.51234},
        {"x": 10, "y": 9, "width": 14, "height": 20, "label": "unicorn", "score": 0.9},
        {"x": 1, "y": 2, "width": 30, "height": 30},
    ],
    [],
    [{"x": -5, "y": 20, "width": 90, "height": 90, "label": "bus", "score": 0.2}],
]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from boxes()
    yield from edited()
    yield from drawn()
    yield from cropped()
    yield from cut_out()
    yield from found()


def told(value: Any) -> Source:
    """Any value."""
    return made("ParityJson", text=json.dumps(value))


def box(x: int, y: int, width: int, height: int) -> dict[str, int]:
    """A box as widgets hold it."""
    return {"x": x, "y": y, "width": width, "height": height}


def boxes() -> Iterator[Case]:
    """One box."""
    for place in ((0, 0, 1, 1), (7, 9, 512, 300)):
        yield described("PrimitiveBoundingBox", place, **box(*place))


def edited() -> Iterator[Case]:
    """The editor's boxes, and others that arrive."""
    size = {"width": 1024, "height": 1280}
    yield shown("none", editor_state=[], **size)
    yield shown("drawn", editor_state={"__value__": DRAWN}, **size)
    yield shown("on a picture", editor_state={"__value__": DRAWN}, background=load("p_alpha.png"), **size)
    small = {"width": 64, "height": 96}
    arrived: dict[str, Any] = {
        "boxes": DRAWN,
        "frames": [DRAWN[:2], DRAWN[2:]],
        "one box": DRAWN[0],
        "elements": ELEMENTS,
        "one element": ELEMENTS[0],
        "no boxes": [],
        "an empty frame": [[]],
    }
    for label, value in arrived.items():
        yield shown(label, editor_state={"__value__": DRAWN[1:2]}, bboxes=told(value), **small)
        yield shown(f"{label} as text", editor_state=[], bboxes=json.dumps(value), **small)
    for wrong in (
        "",
        "nonsense",
        "null",
        "3",
        "[3]",
        "{}",
        "[{}]",
        '[{"bbox":[1,2,3,"x"]}]',
        '[{"bbox":[1,2,3,4]},{}]',
    ):
        yield shown(f"wrong: {wrong}", editor_state=[], bboxes=wrong, **small)
    known = [{key: one[key] for key in one if key != "metadata" or isinstance(one[key], dict)} for one in DRAWN]
    for last in (known, known[:1]):
        given = {"editor_state": {"__value__": DRAWN[:1]}, "last_incoming": {"__value__": last}}
        yield shown(f"known {len(last)}", bboxes=told(DRAWN), **given, **small)


def shown(label: str, **inputs: Any) -> Case:
    """The editor's picture, and its boxes and elements in words."""
    builder = Builder()
    node_id, _ = builder("CreateBoundingBoxes", **inputs)
    builder.end("image", [node_id, 0])
    for slot in (1, 2):
        builder.end("text", builder("ParityDescribe", value=[node_id, slot]))
    return Case("CreateBoundingBoxes", label[:80], builder.graph)


def drawn() -> Iterator[Case]:
    """Boxes that a model would find."""
    several: dict[str, Any] = {
        "one": FOUND[0][0],
        "a frame": FOUND[0],
        "frames": FOUND,
        "none": [],
        "nothing": "x",
        "backwards": {"x": 9, "y": 9, "width": -3, "height": 2},
    }
    for label, value in several.items():
        yield case("DrawBBoxes", f"{label} on black", bboxes=told(value))
        for name in ("p_anim.png", "p_alpha.png"):
            yield case("DrawBBoxes", f"{label} on {name}", bboxes=told(value), image=load(name))


def cropped() -> Iterator[Case]:
    """Parts of pictures."""
    for place in ((0, 0, 10, 10), (20, 5, 500, 8), (900, 900, 3, 3), (52, 36, 9, 9), (-5, 2, 3, 3)):
        yield case("ImageCropV2", place, image=load("p_smooth.png"), crop_region=box(*place))
    yield case(
        "ImageCropV2", "linked", image=load("p_anim.png"), crop_region=made("PrimitiveBoundingBox", **box(1, 2, 9, 9))
    )
    yield case("ImageCropV2", "incomplete", image=load("p_smooth.png"), crop_region={"x": 5})
    yield case("ImageCropV2", "list", image=load("p_smooth.png"), crop_region=told([box(1, 2, 9, 9)]))
    several: dict[str, Any] = {
        "one": box(3, 4, 12, 20),
        "frames": FOUND,
        "none": [],
        "empty frames": [[], []],
        "outside": [[box(500, 2, 9, 9)]],
        "flat": [box(3, 4, 12, 20)],
    }
    for (label, value), padding, aspect in itertools.product(several.items(), (0, 6), ("stretch", "pad")):
        options = {"output_width": 64, "output_height": 72, "padding": padding, "keep_aspect": aspect}
        yield case(
            "CropByBBoxes", f"{label} {padding} {aspect}", image=load("p_anim.png"), bboxes=told(value), **options
        )


def cut_out() -> Iterator[Case]:
    """What a mask covers."""
    masks = {"alpha": load("p_alpha.png", 1), "ramp": ramp(), "none": load("p_smooth.png", 1)}
    sizes = ((64, 64), (96, 64), (64, 128))
    for (name, mask), (width, height), grow in itertools.product(masks.items(), sizes, (0, 3, -3)):
        options = {"width": width, "height": height, "pad_factor": 1.2, "grow_mask": grow, "background": "#ff8010"}
        label = f"{name} {width}x{height} {grow}"
        yield case("ImageCropToMask", label, images=load("p_alpha.png"), masks=mask, **options)
    whole = {"width": 64, "height": 64, "pad_factor": 1.0, "grow_mask": 0, "background": "red"}
    yield case("ImageCropToMask", "small", images=load("p_noisy.png"), masks=ramp(9, 7), **whole)
    yield case("ImageCropToMask", "batch", images=load("p_anim.png"), masks=ramp(24, 40), **whole)
    yield case("ImageCropToMask", "batches differ", images=load("p_smooth.png"), masks=load("p_anim.png", 1), **whole)
    large = made(
        "ImageScale", image=load("p_smooth.png"), upscale_method="area", width=300, height=200, crop="disabled"
    )
    yield case("ImageCropToMask", "large", images=large, masks=ramp(300, 200), **whole)
    for (name, mask), radius, size in itertools.product(masks.items(), (0, 1, 5), (256, 270)):
        given = {"image": load("p_alpha.png"), "mask": mask, "erode_radius": radius, "size": size}
        yield case("TripoSplatPreprocessImage", f"{name} {radius} {size}", **given)
    given = {"image": load("p_anim.png"), "mask": ramp(), "erode_radius": 1, "size": 256}
    yield case("TripoSplatPreprocessImage", "batch", **given)
    for width in (0, 2):
        yield case("VOIDQuadmaskPreprocess", width, ("mask",), mask=ramp(), dilate_width=width)
        yield case(
            "VOIDQuadmaskPreprocess", f"alpha {width}", ("mask",), mask=load("p_alpha.png", 1), dilate_width=width
        )


FACES: dict[str, list[float]] = {
    "plain": [100, 50, 1, 160, 120, 0.5, 130.5, 90.25, 0],
    "at the edge": [2, 1, 1, 60, 30, 1],
    "flat": [10, 10, 1, 40, 10, 1],
    "beyond": [-300, -200, 1, -100, -100, 1],
    "none": [],
}
SMALL = {"canvas_width": 120, "canvas_height": 130}


def found() -> Iterator[Case]:
    """Faces of poses, and tracked objects."""
    people = [{"face_keypoints_2d": points} for points in FACES.values()]
    poses = told(
        [{"canvas_width": 300, "canvas_height": 200, "people": [*people, {}]}, {**SMALL, "people": people[:1]}]
    )
    for scale, square in itertools.product((1.0, 1.5, 10.0), (True, False)):
        yield described("SDPoseFaceBBoxes", f"{scale} {square}", keypoints=poses, scale=scale, force_square=square)
    for empty, indices in ((False, ""), (False, "0, 2,x,9"), (False, "7"), (True, "")):
        tracked = made("ParityTracked", empty=empty)
        given = {"track_data": tracked, "object_indices": indices}
        yield case("SAM3_TrackToMask", f"{empty} {indices}", ("mask",), **given)
    yield from tracked_objects()
    yield from drawn_poses()
    yield from drawn_faces()


def pose(seed: int, *, feet: bool) -> dict[str, Any]:
    """A person whose points are anywhere, some of them outside."""
    drawn = np.random.default_rng(seed)

    def part(count: int) -> list[float]:
        places = drawn.uniform((-10, -10, 0), (110, 90, 1), (count, 3)).round(2)
        return [float(number) for number in places.reshape(-1)]

    hands = {f"hand_{side}_keypoints_2d": part(21) for side in ("right", "left")}
    found = {"pose_keypoints_2d": part(18), "face_keypoints_2d": part(70), **hands}
    return found | ({"foot_keypoints_2d": part(6)} if feet else {})


def drawn_poses() -> Iterator[Case]:
    """People, whole and in parts."""
    size = {"canvas_width": 100, "canvas_height": 80}
    frames = [{**size, "people": [pose(1, feet=True), pose(2, feet=False)]}, {**size, "people": []}]
    parts = ("body", "hands", "face", "feet", "head")
    choices = [dict.fromkeys(parts, True)] + [{name: name == only for name in parts} for only in parts]
    sizes = ((4, 3, 0.3), (1, 1, 0.0), (10, 10, 0.8))
    for chosen, (width, point, threshold) in itertools.product(choices, sizes):
        look = {"stick_width": width, "face_point_size": point, "score_threshold": threshold}
        look |= {f"draw_{name}": value for name, value in chosen.items()}
        yield case("SDPoseDrawKeypoints", f"{width} {chosen}", keypoints=told(frames), **look)
        yield case("SDPoseDrawKeypoints", f"none {width} {chosen}", keypoints=told([]), **look)


def drawn_faces() -> Iterator[Case]:
    """Faces as lines, dots and masks."""
    found = made("ParityFaces")
    features = ("face_oval", "lips", "left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "irises", "nose")
    for (width, size), pictures in itertools.product(((1, 2), (0, 1), (3, 0), (2, 7)), (False, True)):
        options = {"face_landmarks": found, "color": "#ff8010", "thickness": width, "point_size": size}
        options |= {"image": load("p_anim.png")} if pictures else {}
        for kind in ("all", "fill"):
            label = f"{kind} {width} {size} {pictures}"
            yield case("MediaPipeFaceMeshVisualize", label, connections=kind, **options)
        for feature in (*features, "tesselation"):
            some = {f"connections.{name}": name == feature for name in (*features, "tesselation")}
            label = f"{feature} {width} {size} {pictures}"
            yield case("MediaPipeFaceMeshVisualize", label, connections="custom", **options, **some)
    named = {"face_landmarks": found, "connections": "fill", "thickness": 1, "point_size": 2}
    for color in ("red", "#12", "hsl(120,50%,50%)", "no colour"):
        yield case("MediaPipeFaceMeshVisualize", color, color=color, **named)
    yield case("MediaPipeFaceMask", "all", ("mask",), face_landmarks=found, regions="all")
    regions = ("face_oval", "lips", "left_eye", "right_eye", "irises")
    for chosen in (*((name,) for name in regions), ("lips", "left_eye"), ()):
        some = {f"regions.{name}": name in chosen for name in regions}
        yield case("MediaPipeFaceMask", chosen, ("mask",), face_landmarks=found, regions="custom", **some)


def tracked_objects() -> Iterator[Case]:
    """Tracked objects in colours, in a video and as masks."""
    tracks = {
        "blocks": made("ParityTracked", blocks=True),
        "noise": made("ParityTracked"),
        "none": made("ParityTracked", empty=True),
    }
    large = made("ImageScale", image=load("p_smooth.png"), upscale_method="area", width=96, height=72, crop="disabled")
    for (name, tracked), opacity in itertools.product(tracks.items(), (0.0, 0.5, 1.0)):
        given = {"track_data": tracked, "opacity": opacity, "fps": 12.0}
        yield case("SAM3_TrackPreview", f"{name} {opacity} on a picture", (), images=large, **given)
        if name == "blocks":
            yield case("SAM3_TrackPreview", f"{name} {opacity}", (), **given)
    for (name, tracked), order, replace in itertools.product(
        tracks.items(), ("none", "left_to_right", "area"), (True, False)
    ):
        for indices in ("", "2, 0", "9"):
            label = f"{name} {order} {replace} {indices}"
            given = {"driving_track_data": tracked, "sort_by": order, "replacement_mode": replace}
            ends: list[Any] = ["image", "image"]
            yield case("SCAIL2ColoredMask", label, ends, object_indices=indices, **given)
        for other, value in {**tracks, "mask": ramp()}.items():
            yield case(
                "SCAIL2ColoredMask",
                f"{name} {order} {replace} to {other}",
                ("image", "image"),
                object_indices="",
                ref_track_data=value,
                **given,
            )
