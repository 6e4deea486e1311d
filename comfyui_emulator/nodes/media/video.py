"""Nodes for video: creation from images, components, loading, saving."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import (
    HIDDEN_METADATA_V3,
    Entry,
    Image,
    branching,
    choice,
    integer,
    link,
    node,
    number,
    switch,
    text,
)
from comfyui_emulator.nodes.images.files import existing_file, input_path, metadata_values
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.media.audio import media_files
from comfyui_emulator.nodes.media.codecs import Audio, pyav, rgb_levels
from comfyui_emulator.nodes.media.films import Video
from comfyui_emulator.nodes.wording import stacked

JsonObject = dict[str, Any]
_VIDEO: dict[str, Any] = {"module": "comfy_extras.nodes_video", "category": "video", "v3": True}


@node(
    "CreateVideo",
    {"images": link("IMAGE"), "fps": number(30.0, 1.0, 120.0, step=1.0)},
    "VIDEO",
    optional={"audio": link("AUDIO"), "bit_depth": integer(8, 8, 10, step=2, display="number")},
    title="Create Video",
    **_VIDEO,
)
def create_video(images: Image, fps: float, audio: Audio | None = None, bit_depth: int = 8) -> Video:
    """Make a video of images, with or without sound. Encoding waits until it is saved."""
    return Video(None, images, Fraction(fps), audio, bit_depth)


@node(
    "GetVideoComponents",
    {"video": link("VIDEO")},
    "IMAGE AUDIO FLOAT INT COMBO",
    names="images audio fps bit_depth color_space",
    title="Get Video Components",
    touches={"video": "get_components"},
    **_VIDEO,
)
def components(video: Video) -> tuple[Image, Audio | None, float, int, str]:
    """The images, the sound if there is any, the images per second, and how colours are stored."""
    parts = video.get_components()
    assert parts.images is not None  # noqa: S101 - decoded
    return parts.images, parts.audio, float(parts.frame_rate), video.get_bit_depth(), video.get_color_space()


def _films() -> JsonObject:
    options = {"multiselect": False, "options": media_files("video"), "video_upload": True}
    return {"required": {"file": ["COMBO", options]}}


@node(
    "LoadVideo",
    None,
    "VIDEO",
    title="Load Video",
    INPUT_TYPES=_films,
    IS_CHANGED=lambda file: input_path(file).stat().st_mtime,
    VALIDATE_INPUTS=lambda file: existing_file(file, "video"),
    **_VIDEO,
)
def load_video(file: str) -> Video:
    """Load a file in the input folder. It is only decoded when its pictures are needed."""
    return Video(input_path(file))


@node(
    "Video Slice",
    {
        "video": link("VIDEO"),
        "start_time": number(0.0, -100000.0, 100000.0, step=0.001),
        "duration": number(0.0, low=0.0, step=0.001),
        "strict_duration": switch(False),
    },
    "VIDEO",
    title="Trim Video",
    touches={"video": "as_trimmed"},
    **_VIDEO,
)
def part_of_video(video: Video, start_time: float, duration: float, strict_duration: bool) -> Video:
    """A part of a video, in seconds. Raises ``ValueError`` if it is too short, for a file only where that is asked."""
    part = video.as_trimmed(start_time, duration, strict_duration=strict_duration)
    if part is None:
        raise ValueError(
            f"Failed to slice video:\nSource duration: {video.get_duration()}\nStart time: {start_time}\n"
            f"Target duration: {duration}"
        )
    return part


def _saved(name: str, subfolder: str, value: object) -> JsonObject:
    reference = {"filename": name, "subfolder": subfolder, "type": "output"}
    return {"ui": {"images": [reference], "animated": (True,)}, "result": (value,)}


def _tags(prompt: Any, extra_pnginfo: Any) -> JsonObject | None:
    if not runtime.context().metadata:
        return None
    tags = dict(extra_pnginfo or {})
    return (tags | ({} if prompt is None else {"prompt": prompt})) or None


def _codec(best: dict[str, tuple[float, float]], **extra: Any) -> Entry:
    """The choice of a codec; ``best`` gives the default and the highest value of each encoder's quality."""
    options: dict[str, dict[str, Entry]] = {"auto": {}}
    encodings: dict[str, dict[str, Entry]] = {}
    for name, (default, highest) in best.items():
        again = {
            "crf": number(default, 0.0, highest, step=1.0),
            "color_space": choice(["auto", "sRGB", "HDR", "HDR PQ"], display_name="color space", default="auto"),
        }
        options[name] = {}
        encodings[name] = {"encoding": branching({"auto": {}, "re-encode": again}, display_name="encoding mode")}
    return branching(options, optional=encodings, **extra)


_BEST = {"h264": (23.0, 51.0), "av1": (30.0, 63.0)}
_CODECS = {"codec": _codec(_BEST)}
_CONTAINERS = {**dict.fromkeys(("auto", "mp4", "mkv"), _CODECS), "webm": {"codec": _codec({"av1": _BEST["av1"]})}}


@node(
    "SaveVideo",
    {
        "video": link("VIDEO"),
        "filename_prefix": text(default="video/ComfyUI", multiline=False),
        "format": branching(_CONTAINERS),
    },
    "VIDEO",
    names="video",
    optional={"codec": _codec(_BEST, hidden=True)},
    hidden=HIDDEN_METADATA_V3,
    title="Save Video",
    OUTPUT_NODE=True,
    **_VIDEO,
    touches={"video": "get_dimensions"},
)
def save_video(
    video: Video,
    filename_prefix: str,
    format: JsonObject | str,  # noqa: A002 - the input's name
    codec: JsonObject | None = None,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save a video, with the prompt and the workflow in its tags.

    Prompts for ComfyUI before 0.33 give the codec beside the format; now it belongs to the format.
    """
    chosen: JsonObject = format if isinstance(format, dict) else {"format": format}
    chosen_codec: JsonObject = chosen.get("codec") or codec or {"codec": "auto"}
    encoding = chosen_codec.get("encoding") or {}
    space = encoding.get("color_space")
    width, height = video.get_dimensions()
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output, width, height)
    container = chosen["format"]
    name = f"{stem}_{counter:05}_.{'mp4' if container == 'auto' else container}"
    video.save_to(
        target / name,
        container,
        chosen_codec["codec"],
        _tags(prompt, extra_pnginfo),
        crf=encoding.get("crf"),
        color_space=None if space == "auto" else space,
    )
    return _saved(name, subfolder, video)


_WEBM_CODECS = {"vp9": ("libvpx-vp9", "yuv420p"), "av1": ("libsvtav1", "yuv420p10le")}


@node(
    "SaveWEBM",
    {
        "images": link("IMAGE"),
        "filename_prefix": text(default="ComfyUI", multiline=False),
        "codec": choice(["vp9", "av1"]),
        "fps": number(24.0, 0.01, 1000.0, step=0.01),
        "crf": number(32.0, 0, 63.0, step=1),
    },
    "IMAGE",
    names="images",
    hidden=HIDDEN_METADATA_V3,
    title="Save WEBM",
    OUTPUT_NODE=True,
    EXPERIMENTAL=True,
    **_VIDEO,
)
def save_webm(
    images: Image,
    filename_prefix: str,
    codec: str,
    fps: float,
    crf: float,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save images as a WebM file, VP9 with their transparency. As in ComfyUI, metadata is always written."""
    height, width = images[0].shape[0], images[0].shape[1]
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output, width, height)
    name = f"{stem}_{counter:05}_.webm"
    av = pyav()
    with av.open(str(target / name), mode="w") as container:
        for key, value in metadata_values(prompt, extra_pnginfo).items():
            container.metadata[key] = json.dumps(value)
        encoder, pixels = _WEBM_CODECS[codec]
        channels, layout = 3, "rgb24"
        if images.shape[-1] == 4 and codec == "vp9":
            channels, layout, pixels = 4, "rgba", "yuva420p"
        stream = container.add_stream(encoder, rate=Fraction(round(fps * 1000), 1000))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, pixels, 0
        stream.options = {"crf": str(crf)} | ({"preset": "6"} if codec == "av1" else {})
        for image in images:
            levels = rgb_levels(image[..., :channels])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(levels, format=layout)))
        container.mux(stream.encode())
    return _saved(name, subfolder, images)


@node(
    "LTXVPreprocess",
    {"image": link("IMAGE"), "img_compression": integer(35, 0, 100)},
    "IMAGE",
    names="output_image",
    module="comfy_extras.nodes_lt",
    category="video/preprocessors",
    title="LTXV Preprocess",
    v3=True,
)
def compress(image: Image, img_compression: int) -> Image:
    """Compress each image with H.264 and decode it, with even sides. 0 leaves images unchanged."""
    count = image.shape[0]
    frames = [_through_h264(item, img_compression) if img_compression else item for item in image[:count]]
    return stacked(frames)


def _through_h264(image: Image, crf: int) -> Image:
    av = pyav()
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = even.shape[:2]
        frame = av.VideoFrame.from_ndarray(rgb_levels(even), format="rgb24").reformat(format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return from_bytes(next(container.decode(video=0)).to_ndarray(format="rgb24"))
