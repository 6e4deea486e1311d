"""Cases of layers, paintings, comparisons, texts on pictures, and files of many bits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Builder, Case, Link, case, load, made, ramp
from benchmarks.parity.cases.boxes import box, told
from benchmarks.parity.cases.values import described
from comfyui_emulator.nodes.images.blending import MODES


def cases() -> Iterator[Case]:
    """All of them."""
    yield from stacks()
    yield from boxed()
    yield from composed()
    yield from saved_states()
    yield from painted()
    yield from compared()
    yield from written()
    yield from exported()


def stacks() -> Iterator[Case]:
    """Documents of layers."""
    yield described("AddLayer", "plain", image=load("p_smooth.png"))
    full = {"x": -3, "y": 4, "opacity": 0.5, "blend_mode": "multiply", "rotation": 30.0, "width": 20, "height": 10}
    named = full | {"name": "top", "z_index": -2, "flip_h": True, "flip_v": True}
    yield described("AddLayer", "full", image=load("p_smooth.png"), mask=ramp(), **named)
    two = made("AddLayer", image=load("p_noisy.png"), name="below")
    yield described("AddLayer", "two", image=load("p_smooth.png"), layers=two, **full)


def boxed() -> Iterator[Case]:
    """A layer for each picture and box."""
    frames = [
        box(3, 4, 12, 20) | {"metadata": {"name": "a", "z_index": 7}},
        box(5, 6, 0, 9) | {"metadata": {"desc": "b", "content_rect": [2, 3, 10, 900]}},
    ]
    elements = [{"bbox": [100, 200, 500, 400], "desc": "e"}]
    for label, value, crop in (("boxes", frames, True), ("no crop", frames, False), ("elements", elements, True)):
        for canvas in (0, 50):
            given = {"crop_to_content": crop, "canvas_width": canvas, "canvas_height": canvas}
            inputs = {"image": load("p_anim.png"), "bboxes": told(value), "mask": ramp(24, 40), **given}
            yield described("LayersFromBoundingBoxes", f"{label} {canvas}", **inputs)
    below = made("AddLayer", image=load("p_smooth.png"), z_index=5)
    layers = made("LayersFromBoundingBoxes", image=load("p_anim.png"), bboxes=told(frames), layers=below)
    yield composition("of boxes", layers)
    for text in ("", "nonsense", '{"x":1,"y":2,"width":3,"height":4}'):
        yield described("LayersFromBoundingBoxes", f"text {text}", image=load("p_smooth.png"), bboxes=text)


def composition(label: str, layers: Any, state: Any = None) -> Case:
    """The picture of a stack and its mask, and what the editor is told."""
    builder = Builder()
    node_id, _ = builder("ImageCompositor", layers=layers, compositor={} if state is None else state)
    for slot, kind in enumerate(("image", "mask")):
        builder.end("image" if kind == "image" else "mask", [node_id, slot])
    return Case("ImageCompositor", label[:80], builder.graph)


def stacked(*layers: dict[str, Any]) -> Any:
    """The source of a stack."""

    def build(builder: Builder) -> Link:
        below: dict[str, Any] = {}
        for layer in layers:
            below = {"layers": builder("AddLayer", **layer, **below)}
        return list(below["layers"])

    return build


def composed() -> Iterator[Case]:
    """Stacks without a saved composition."""
    ground, top = {"image": load("p_smooth.png")}, {"image": load("p_noisy.png"), "x": 10, "y": 5}
    for mode, opacity in itertools.product(MODES, (1.0, 0.4)):
        yield composition(f"{mode} {opacity}", stacked(ground, top | {"blend_mode": mode, "opacity": opacity}))
    glass = {"image": load("p_alpha.png")}
    for mode in ("normal", "multiply", "screen"):
        yield composition(f"glass {mode}", stacked(glass, top | {"blend_mode": mode, "mask": ramp()}))
    for turn, (width, height) in itertools.product((0.0, 30.0, -90.0), ((0, 0), (31, 60))):
        turned = {"rotation": turn, "width": width, "height": height, "flip_h": turn != 0, "flip_v": width > 0}
        yield composition(f"turned {turn} {width}x{height}", stacked(ground, top | turned))
    yield composition("outside", stacked(ground, top | {"x": -500}, top | {"x": -7, "y": -9}))
    yield composition("depths", stacked(ground | {"z_index": 3}, top | {"z_index": -1}))
    yield composition("batch", stacked({"image": load("p_anim.png")}, {"image": load("p_smooth.png"), "opacity": 0.5}))
    yield composition("none", told({"version": 1, "layers": []}))
    yield composition("no stack", told("x"))
    yield composition("later version", told({"version": 2}))
    yield composition("other kind", told({"layers": [{"type": "vector"}]}))


def saved_states() -> Iterator[Case]:
    """Compositions that the editor would have saved, which are for other layers."""
    layers = stacked({"image": load("p_smooth.png")}, {"image": load("p_noisy.png")})
    entry = {"transform": {"x": 3, "y": 4, "w": 20, "h": 0, "rotation": 0.3}, "opacity": 2, "blend": "zzz"}
    whole = {"canvas": {"w": 40, "h": "30"}, "layers": [entry, {"visible": False}], "inputs": ["a", "b"]}
    for label, state in {"other layers": whole, "text": "{}", "nonsense": "{", "empty": ""}.items():
        yield composition(f"state: {label}", layers, state)


def painted() -> Iterator[Case]:
    """Paintings on a ground or on a picture."""
    size = {"width": 64, "height": 128, "bg_color": "#3080ff"}
    for name in ("", "p_alpha.png", "p_smooth.png [input]", "p_missing.png"):
        for label, image in (("ground", {}), ("picture", {"image": load("p_noisy.png")})):
            yield case("Painter", f"{name or 'nothing'} on {label}", ("image", "mask"), mask=name, **size, **image)


def compared() -> Iterator[Case]:
    """Two pictures beside each other."""
    view = {"compare_view": {"__value__": ["", ""]}}
    one, two = {"image_a": load("p_smooth.png")}, {"image_b": load("p_anim.png")}
    for label, given in (("both", one | two), ("one", one), ("other", two), ("none", {})):
        yield case("ImageCompare", label, (), **view, **given)


def written() -> Iterator[Case]:
    """Texts on pictures."""
    large = made("ImageScale", image=load("p_noisy.png"), upscale_method="area", width=300, height=200, crop="disabled")
    long = "The quick brown fox jumps over the lazy dog.\\nAnd\\tagain, Incomprehensibilities " * 3
    for place, align, outline in itertools.product(("top", "bottom"), ("left", "center", "right"), (True, False)):
        look = {"position": place, "align": align, "outline": outline, "color": "#ff802080"}
        yield case("TextOverlay", f"{place} {align} {outline}", images=large, text="Ayé\n\nb", font_size=9.0, **look)
    look = {"position": "top", "align": "center", "outline": True, "color": "#ffffff"}
    for size, text in itertools.product((0.5, 5.0, 50.0), (long, "x" * 99, " ")):
        yield case("TextOverlay", f"{size} {text}", images=large, text=text, font_size=size, **look)
    look["color"] = "nonsense"
    yield case("TextOverlay", "no color", images=load("p_anim.png"), text="a", font_size=50.0, **look)


def exported() -> Iterator[Case]:
    """Files with more than eight bits."""
    formats = [("png", depth, "sRGB") for depth in ("8-bit", "16-bit")]
    formats += [("exr", "32-bit float", space) for space in ("sRGB", "HDR", "linear")]
    shaped = {f"{count} channels": made("ParityShaped", shape=f"2,5,7,{count}") for count in (1, 2, 4)}
    for (ending, depth, space), (name, source) in itertools.product(
        formats, {"smooth": load("p_smooth.png"), "alpha": load("p_alpha.png"), **shaped}.items()
    ):
        look = {"format": ending, "format.bit_depth": depth, "format.input_color_space": space}
        label = f"{name} {ending} {depth} {space}"
        yield case("SaveImageAdvanced", label, (), images=source, filename_prefix="parity/%width%_x", **look)
