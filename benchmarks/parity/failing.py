"""Prompts that pass validation and may fail inside of a node: values at their limits, of a wrong kind or shape.

They are made from the cases of :mod:`benchmarks.parity.cases`: of each node's first case, one input after the other is
given something else. Left out is only what would take memory or time without end, and what ends ComfyUI's process.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.parity import cases
from benchmarks.parity.building import Case, Graph, case, load, made
from benchmarks.parity.cases.latents import ONE

Info = Mapping[str, Any]

SHAPES: dict[str, tuple[str, ...]] = {
    "IMAGE": ("1,8,8,1", "1,8,8,4", "0,8,8,3", "1,0,8,3", "8,8,3"),
    "MASK": ("8,8", "3,8,8", "0,8,8", "8"),
    "LATENT": ("1,16,8,8", "1,4,2,8,8", "0,4,8,8", "4,8,8"),
    "AUDIO": ("1,2,0", "3,2,800", "2,800"),
    "SIGMAS": ("0", "1", "3,2"),
}
"""Shapes that arrays of each type are given; the usual ones among them, since not every node takes those."""

_SLOTS = {"IMAGE": 0, "MASK": 1, "LATENT": 2, "AUDIO": 3, "SIGMAS": 4}
FATAL = (("SaveImageWebsocket", "1,0,8,3"), ("ImageMergeTileList", "1,0,8,3"))
"""What ends ComfyUI's process, as its own sender fails on a picture of no size, or never ends in it, as it looks for
places of tiles that have no size. The emulator answers with an error."""

CONSTANTS: tuple[Any, ...] = ("x", None)
"""What stands in place of a link; ComfyUI's validation looks only at constants of the simple types."""

SLOW = (("megapixels", "max"), ("duration", "max"), ("frames", "min"), ("frames", "max"))
"""Inputs of which a limit is nothing but slow."""

MOST = 600
"""No number above this is tried: sizes are squared, counts become arrays."""


def failing(info: Info) -> Iterator[tuple[str, Case]]:
    """Groups and prompts; ``info`` is an ``/object_info``."""
    seen: set[str] = set()
    for group in cases.groups().values():
        for found in group():
            if found.node not in seen:
                seen.add(found.node)
                yield from changed(found, info)
    for made_case in (*paths(), *files(), *numbers(), *pairs()):
        yield "by hand", made_case


def changed(found: Case, info: Info) -> Iterator[tuple[str, Case]]:
    """One node's case with one input after the other changed."""
    about = next(name for name, node in found.graph.items() if node["class_type"] == found.node)
    declared = {name: entry for part in info[found.node]["input"].values() for name, entry in part.items()}
    for name, value in found.graph[about]["inputs"].items():
        entry = declared.get(name)
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            yield from instead_of_links(found, about, name, info)
        elif isinstance(entry, list):
            yield from at_limits(found, about, name, entry)


def instead_of_links(found: Case, about: str, name: str, info: Info) -> Iterator[tuple[str, Case]]:
    """A link's value replaced: by constants, and by arrays of other shapes."""
    source, slot = found.graph[about]["inputs"][name]
    kind = info[found.graph[source]["class_type"]]["output"][slot]
    for constant in CONSTANTS:
        yield "constant for a link", variant(found, about, name, constant)
    for shape in SHAPES.get(kind, ()):
        if (found.node, shape) in FATAL:
            continue
        result = variant(found, about, name, ["odd", _SLOTS[kind]], shape)
        result.graph["odd"] = {"class_type": "ParityShaped", "inputs": {"shape": shape}}
        yield f"{kind.lower()} of another shape", result


def at_limits(found: Case, about: str, name: str, entry: list[Any]) -> Iterator[tuple[str, Case]]:
    """A number at its smallest and, where that is not too large, at its largest; an empty text."""
    options = entry[1] if len(entry) > 1 else {}
    if entry[0] in ("INT", "FLOAT"):
        for limit in ("min", "max"):
            if options.get(limit) is not None and abs(options[limit]) <= MOST and (name, limit) not in SLOW:
                yield "number at its limit", variant(found, about, name, options[limit])
    elif entry[0] == "STRING" and name != "filename_prefix":
        for text in ("", "\0", "("):
            yield "text", variant(found, about, name, text)


def variant(found: Case, about: str, name: str, value: Any, shown: object = None) -> Case:
    """The case with one input changed."""
    graph: Graph = copy.deepcopy(found.graph)
    graph[about]["inputs"][name] = value
    return Case(found.node, f"{name}={value!r}" if shown is None else f"{name} of {shown}", graph)


def paths() -> Iterator[Case]:
    """Places to save to that are outside of the folder, or no places."""
    image, sound = load("p_smooth.png"), made("ParityTone")
    mesh = made("VoxelToMeshBasic", voxel=made("ParityVoxels", seed=1, size=9), threshold=0.6)
    film = made("CreateVideo", images=load("p_anim.gif"), fps=24.0)
    savers: dict[str, dict[str, Any]] = {
        "SaveImage": {"images": image},
        "SaveLatent": {"samples": ONE},
        "SaveAnimatedPNG": {"images": image, "fps": 6.0, "compress_level": 4},
        "SaveAnimatedWEBP": {"images": image, "fps": 6.0, "lossless": True, "quality": 80, "method": "default"},
        "SaveAudio": {"audio": sound},
        "SaveAudioMP3": {"audio": sound, "quality": "V0"},
        "SaveGLB": {"mesh": mesh},
        "SaveText": {"text": "x", "format": "md"},
        "SaveSVGNode": {"svg": made("ParityDrawings")},
        "SaveVideo": {"video": film, "format": "auto", "codec": "auto"},
        "SaveWEBM": {"images": image, "codec": "vp9", "fps": 12.0, "crf": 32.0},
        "LossGraphNode": {"loss": made("ParityLosses")},
    }
    for (saver, inputs), prefix in itertools.product(savers.items(), PREFIXES):
        # One writes wherever it is told to, in ComfyUI, and is told nothing of the kind.
        if saver != "LossGraphNode" or not (prefix.startswith("/") or ".." in prefix):
            yield case(saver, f"to {prefix!r}", (), filename_prefix=prefix, **inputs)


PREFIXES = (
    "../x",
    "/etc/x",
    "a/../../x",
    "..",
    ".",
    "",
    "a/",
    "a//b",
    "%batch_num%",
    "%width",
    "a\0b",
    "n" * 300,
    "ö ß",
)


def files() -> Iterator[Case]:
    """Files of a wrong kind, and paths that are not files."""
    for name in ("p_text.png", "p_empty.png", "p.wav", "p_one.latent"):
        yield case("LoadImage", name, ("image", "mask"), image=name)
        yield case("LoadImageMask", name, ("mask",), image=name, channel="red")
        yield case("LoadImageOutput", name, ("image", "mask"), image=f"{name} [input]")
    for name in ("p_text.png", "p_empty.png", "p_smooth.png"):
        yield case("LoadLatent", name, ("latent",), latent=name)
        for loader, key in (("LoadAudio", "audio"), ("RecordAudio", "audio")):
            yield sound_case(loader, key, name)
        film = made("LoadVideo", file=name)
        yield case("GetVideoComponents", name, ("image", None, "text"), video=film)
        options = {"filename_prefix": "parity/film", "format": "auto", "codec": "auto"}
        yield case("SaveVideo", name, (), video=film, **options)
    yield case("WebcamCapture", "nothing", image="none.png", width=0, height=0, capture_on_queue=True)
    yield sound_case("RecordAudio", "audio", "none.wav")


def sound_case(node: str, key: str, name: str) -> Case:
    """A sound that is loaded and saved."""
    return Case(
        node, name, case("SaveAudio", "", (), audio=made(node, **{key: name}), filename_prefix="parity/s").graph
    )


def numbers() -> Iterator[Case]:
    """Numbers that a node can do nothing with."""
    image = load("p_smooth.png")
    methods = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
    tiny = made("EmptyImage", width=2, height=3, batch_size=1, color=0)
    long = made("EmptyImage", width=300, height=1, batch_size=1, color=0)
    for method in methods:
        for size in (0, 1, 2):
            for picture, name in ((image, "picture"), (long, "line"), (tiny, "tiny")):
                options = {"upscale_method": method, "largest_size": size}
                yield case("ImageScaleToMaxDimension", f"{method} {size} {name}", image=picture, **options)
        yield case("ImageScaleBy", f"{method} to nothing", image=tiny, upscale_method=method, scale_by=0.01)
        size = {"width": 1, "height": 100, "upscale_method": method, "crop": "center"}
        yield case("ImageScale", f"{method} of a line", image=long, **size)
        frame = {"target_width": 9, "target_height": 9, "padding_color": "white", "interpolation": method}
        yield case("ResizeAndPadImage", f"{method} of a line", image=long, **frame)
        pixels = {"megapixels": 0.01, "resolution_steps": 1}
        yield case("ImageScaleToTotalPixels", f"{method} of a line", image=long, upscale_method=method, **pixels)
    for method in methods[:4]:
        yield case("LatentUpscaleBy", f"{method} 0.01", ("latent",), samples=ONE, upscale_method=method, scale_by=0.01)
    for low, high in ((0.9, 0.1), (0.5, 0.5)):
        yield case("Canny", f"{low} {high}", image=image, low_threshold=low, high_threshold=high)
    for node, radius in (("ImageBlur", "blur_radius"), ("ImageSharpen", "sharpen_radius")):
        for size in (1, 2, 31):
            options = {radius: size, "sigma": 1.0} | ({"alpha": 1.0} if node == "ImageSharpen" else {})
            yield case(node, f"{size} of tiny", image=tiny, **options)
    for size in (3, 50):
        yield case("Morphology", f"{size} of tiny", image=tiny, operation="erode", kernel_size=size)
    for pattern in ("(", "[", "a{2,1}", "(?P<a", "\\"):
        yield case("RegexReplace", pattern, ("text",), string="aa", regex_pattern=pattern, replace="")
    yield case("RegexReplace", "bad group", ("text",), string="aa", regex_pattern="a", replace="\\7")
    for dim, index in (("t", 0), ("x", 99), ("y", -99)):
        yield case("LatentCut", f"{dim} {index}", ("latent",), samples=ONE, dim=dim, index=index, amount=3)
    yield case("LatentConcat", "t", ("latent",), samples1=ONE, samples2=ONE, dim="t")
    for rate in (0, -5):
        audio = made("EmptyAudio", duration=0.1, sample_rate=rate, channels=1)
        yield case("SaveAudio", f"rate {rate}", (), audio=audio, filename_prefix="parity/none")


def pairs() -> Iterator[Case]:
    """Two values that do not go together."""
    one, two = made("LoadLatent", latent="p_one.latent"), made("ParityShaped", 2, shape="1,16,5,7")
    flat, deep = made("ParityShaped", 2, shape="1,4,8,8"), made("ParityShaped", 2, shape="1,4,2,8,8")
    for (name, (first, second)), node in itertools.product(
        {"channels": (one, two), "flat, deep": (flat, deep), "deep, flat": (deep, flat)}.items(),
        ("LatentAdd", "LatentSubtract", "LatentBatch", "LatentInterpolate", "LatentBlend", "LatentConcat"),
    ):
        more = {"LatentInterpolate": {"ratio": 0.5}, "LatentBlend": {"blend_factor": 0.5}, "LatentConcat": {"dim": "x"}}
        yield case(node, name, ("latent",), samples1=first, samples2=second, **more.get(node, {}))
    for first_shape, second_shape in itertools.product(("1,8,8,3", "2,8,8,4", "0,8,8,3"), ("1,8,8,1", "3,6,8,3")):
        first, second = made("ParityShaped", 0, shape=first_shape), made("ParityShaped", 0, shape=second_shape)
        label = f"{first_shape} and {second_shape}"
        yield case("ImageBatch", label, image1=first, image2=second)
        yield case("ImageBlend", label, image1=first, image2=second, blend_factor=0.5, blend_mode="overlay")
        place = {"x": 1, "y": 0, "resize_source": False}
        yield case("ImageCompositeMasked", label, destination=first, source=second, **place)


def samples() -> dict[str, bytes]:
    """Files that are not what their name says."""
    return {"p_text.png": b"no picture at all", "p_empty.png": b""}
