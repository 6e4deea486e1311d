"""Nodes for video: creation from images, components, loading, saving."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.base import Image, choice, integer, link, node, number, text
from comfyui_emulator.nodes.images.files import existing_file, input_path
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.media.audio import media_files
from comfyui_emulator.nodes.media.codecs import Audio, Video, pyav, rgb_levels
from comfyui_emulator.nodes.wording import stacked

JsonObject = dict[str, Any]
_VIDEO: dict[str, Any] = {"module": "comfy_extras.nodes_video", "category": "image/video", "v3": True}
_HIDDEN = {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]}


@node(
    "CreateVideo",
    {"images": link("IMAGE"), "fps": number(30.0, 1.0, 120.0, step=1.0)},
    "VIDEO",
    optional={"audio": link("AUDIO")},
    title="Create Video",
    **_VIDEO,
)
def create_video(images: Image, fps: float, audio: Audio | None = None) -> Video:
    """Make a video of images, with or without sound. Encoding waits until it is saved."""
    return Video(None, images, Fraction(fps), audio)


@node(
    "GetVideoComponents",
    {"video": link("VIDEO")},
    "IMAGE AUDIO FLOAT",
    names="images audio fps",
    title="Get Video Components",
    **_VIDEO,
)
def components(video: Video) -> tuple[Image, Audio | None, float]:
    """The images, the sound if there is any, and the images per second."""
    parts = video.get_components()
    assert parts.images is not None  # noqa: S101 - decoded
    return parts.images, parts.audio, float(parts.frame_rate)


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


def _saved(name: str, subfolder: str) -> JsonObject:
    reference = {"filename": name, "subfolder": subfolder, "type": "output"}
    return {"ui": {"images": [reference], "animated": (True,)}}


def _tags(prompt: Any, extra_pnginfo: Any) -> JsonObject:
    if not runtime.context().metadata:
        return {}
    tags = dict(extra_pnginfo or {})
    return tags | ({} if prompt is None else {"prompt": prompt})


@node(
    "SaveVideo",
    {
        "video": link("VIDEO"),
        "filename_prefix": text(default="video/ComfyUI", multiline=False),
        "format": choice(["auto", "mp4"], default="auto"),
        "codec": choice(["auto", "h264"], default="auto"),
    },
    "",
    hidden=_HIDDEN,
    title="Save Video",
    OUTPUT_NODE=True,
    **_VIDEO,
    touches={"video": "get_dimensions"},
)
def save_video(
    video: Video,
    filename_prefix: str,
    format: str,  # noqa: A002 - the input's name
    codec: str,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save a video as MP4, with the prompt and the workflow in its tags."""
    width, height = video.size()
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output, width, height)
    name = f"{stem}_{counter:05}_.mp4"
    video.save(target / name, format, codec, _tags(prompt, extra_pnginfo))
    return _saved(name, subfolder)


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
    "",
    hidden=_HIDDEN,
    title=None,
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
    """Save images as a WebM file. As in ComfyUI, metadata is always written."""
    height, width = images[0].shape[0], images[0].shape[1]
    target, stem, counter, subfolder = next_save_path(filename_prefix, runtime.context().folders.output, width, height)
    name = f"{stem}_{counter:05}_.webm"
    av = pyav()
    with av.open(str(target / name), mode="w") as container:
        for key, value in {**({} if prompt is None else {"prompt": prompt}), **(extra_pnginfo or {})}.items():
            container.metadata[key] = json.dumps(value)
        encoder, pixels = _WEBM_CODECS[codec]
        stream = container.add_stream(encoder, rate=Fraction(round(fps * 1000), 1000))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, pixels, 0
        stream.options = {"crf": str(crf)} | ({"preset": "6"} if codec == "av1" else {})
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb_levels(image[..., :3]), format="rgb24")))
        container.mux(stream.encode())
    return _saved(name, subfolder)


@node(
    "LTXVPreprocess",
    {"image": link("IMAGE"), "img_compression": integer(35, 0, 100)},
    "IMAGE",
    names="output_image",
    module="comfy_extras.nodes_lt",
    category="image",
    title=None,
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
