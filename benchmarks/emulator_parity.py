"""Run the same prompts on two servers and compare what comes out, node by node.

    python benchmarks/emulator_parity.py http://127.0.0.1:8189 http://127.0.0.1:8188

The first server is the emulator, the second a real ComfyUI. Prints a table: node, cases, equal cases, largest difference
of an 8-bit level. Exits with 1 where a difference is larger than ``--tolerance`` (default 1).
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

Graph = dict[str, dict[str, Any]]
METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
# ruff: noqa: C901, E501 - tables of cases
PORTER_DUFF = "ADD CLEAR DARKEN DST DST_ATOP DST_IN DST_OUT DST_OVER LIGHTEN MULTIPLY OVERLAY SCREEN SRC SRC_ATOP SRC_IN SRC_OUT SRC_OVER XOR"


class Server:
    """One server by its URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def request(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        """One request; the body of an error is returned too."""
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.read()

    def upload(self, name: str, content: bytes) -> None:
        """Put a file into the input folder."""
        mark = uuid.uuid4().hex
        body = (
            (
                f'--{mark}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
                f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
                f"Content-Type: application/octet-stream\r\n\r\n"
            ).encode()
            + content
            + f"\r\n--{mark}--\r\n".encode()
        )
        self.request("/upload/image", body, {"Content-Type": f"multipart/form-data; boundary={mark}"})

    def run(self, graph: Graph) -> dict[str, Any]:
        """Queue a prompt and wait for its record; a refused prompt gives ``{"refused": …}``."""
        answer = json.loads(self.request("/prompt", json.dumps({"prompt": graph}).encode()))
        if "prompt_id" not in answer:
            return {"refused": answer}
        for _ in range(6000):
            found = json.loads(self.request(f"/history/{answer['prompt_id']}"))
            if found:
                return dict(found[answer["prompt_id"]])
            time.sleep(0.02)
        raise TimeoutError(f"{self.url} did not finish a prompt within 120 s")

    def outputs(self, record: dict[str, Any]) -> list[Any]:
        """The pictures, as arrays, and the texts of a record, in the order of the node ids."""
        found: list[Any] = []
        for node_id in sorted(record["outputs"], key=int):
            output = record["outputs"][node_id]
            found += output.get("text", [])
            for reference in output.get("latents", []):
                found.append(read_latent(self.request(f"/view?{urllib.parse.urlencode(reference)}")))
            for reference in output.get("images", []):
                query = urllib.parse.urlencode(reference)
                with Image.open(io.BytesIO(self.request(f"/view?{query}"))) as picture:
                    frames = [np.asarray(picture.seek(k) or picture) for k in range(getattr(picture, "n_frames", 1))]
                found.append(np.stack(frames))
        return found


def read_latent(data: bytes) -> Any:
    """The array of a saved latent, in thousandths, so that it can be compared like levels."""
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["latent_tensor"]
    start, end = (8 + length + offset for offset in entry["data_offsets"])
    array = np.frombuffer(data[start:end], dtype="<f4").reshape(entry["shape"])
    return np.rint(array.astype(np.float64) * 1000).astype(int)


@dataclass(slots=True)
class Row:
    """The result for one node."""

    cases: int = 0
    equal: int = 0
    largest: int = 0
    notes: list[str] = field(default_factory=list)


def compare(row: Row, label: str, ours: list[Any], theirs: list[Any]) -> None:
    """Add one case to a row."""
    row.cases += 1
    if len(ours) != len(theirs):
        row.notes.append(f"{label}: {len(ours)} outputs, not {len(theirs)}")
        row.largest = 255
        return
    largest = 0
    for mine, yours in zip(ours, theirs, strict=True):
        if isinstance(mine, str) or isinstance(yours, str):
            same = isinstance(mine, str) and mine == yours
            largest = max(largest, 0 if same else 255)
            if not same:
                row.notes.append(f"{label}: {mine!r}, not {yours!r}"[:200])
        elif mine.shape != yours.shape:
            row.notes.append(f"{label}: shape {mine.shape}, not {yours.shape}")
            largest = 255
        else:
            gap = int(np.abs(mine.astype(int) - yours.astype(int)).max(initial=0))
            if gap > 1:
                share = float((np.abs(mine.astype(int) - yours.astype(int)) > 1).mean())
                row.notes.append(f"{label}: differs by up to {gap} ({share:.2%} of levels by more than 1)")
            largest = max(largest, gap)
    row.equal += largest == 0
    row.largest = max(row.largest, largest)


def samples() -> dict[str, bytes]:
    """Pictures of many kinds."""
    random = np.random.default_rng(7)
    rows, columns = np.mgrid[0:37, 0:53]
    smooth = np.stack([columns * 4, rows * 6, (rows + columns) * 2], axis=-1).astype(np.uint8)
    noisy = random.integers(0, 256, (40, 24, 3), dtype=np.uint8)
    alpha = np.dstack([random.integers(0, 256, (33, 47, 3), dtype=np.uint8), (columns[:33, :47] * 5).astype(np.uint8)])
    pictures: dict[str, Image.Image] = {
        "p_smooth.png": Image.fromarray(smooth),
        "p_noisy.png": Image.fromarray(noisy),
        "p_alpha.png": Image.fromarray(alpha),
        "p_grey.png": Image.fromarray(noisy[..., 0]),
        "p_grey_alpha.png": Image.fromarray(alpha).convert("LA"),
        "p_sixteen.png": Image.fromarray(noisy[..., 0].astype(np.uint16) * 250),
        "p_palette.png": Image.fromarray(noisy).quantize(16),
        "p_bits.png": Image.fromarray(noisy).convert("1"),
        "p_cmyk.jpg": Image.fromarray(noisy).convert("CMYK"),
        "p.bmp": Image.fromarray(noisy),
        "p.tiff": Image.fromarray(alpha),
        "p.jpg": Image.fromarray(smooth),
        "p.webp": Image.fromarray(alpha),
    }
    found = {}
    for name, picture in pictures.items():
        buffer = io.BytesIO()
        options: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
        picture.save(buffer, format=Image.registered_extensions()[name[name.rindex(".") :]], **options)
        found[name] = buffer.getvalue()
    return found | special_samples(smooth, noisy)


def special_samples(smooth: Any, noisy: Any) -> dict[str, bytes]:
    """Turned, animated, transparent and damaged pictures."""
    found = {}
    for turn in range(2, 9):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(smooth).save(buffer, format="JPEG", exif=exif, quality=95)
        found[f"p_turn{turn}.jpg"] = buffer.getvalue()
    frames = [Image.fromarray(np.roll(noisy, k * 3, axis=0)) for k in range(3)]
    for name, options in (("p_anim.gif", {}), ("p_anim.webp", {"lossless": True}), ("p_anim.png", {})):
        buffer = io.BytesIO()
        frames[0].save(buffer, format=name[-4:].strip("."), save_all=True, append_images=frames[1:], **options)
        found[name] = buffer.getvalue()
    buffer = io.BytesIO()
    palette = Image.fromarray(noisy).quantize(8)
    palette.save(buffer, format="PNG", transparency=2)
    found["p_transparent.png"] = buffer.getvalue()
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "{}")
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, format="PNG", pnginfo=text)
    found["p_cut.png"] = buffer.getvalue()[:-400]
    return found


class Builder:
    """Builds one prompt."""

    def __init__(self) -> None:
        self.graph: Graph = {}

    def __call__(self, class_type: str, slot: int = 0, **inputs: Any) -> list[Any]:
        """Add a node; returns a link to one of its outputs."""
        node_id = str(len(self.graph) + 1)
        self.graph[node_id] = {"class_type": class_type, "inputs": inputs}
        return [node_id, slot]

    def load(self, name: str, slot: int = 0) -> list[Any]:
        """A link to a loaded sample."""
        return self("LoadImage", slot, image=name)

    def ramp(self, width: int = 48, height: int = 40) -> list[Any]:
        """A mask with all kinds of values."""
        image = self(
            "ImageScale",
            image=self.load("p_smooth.png"),
            upscale_method="bilinear",
            width=width,
            height=height,
            crop="disabled",
        )
        return self("ImageToMask", image=image, channel="red")

    def show(self, *links: list[Any]) -> Builder:
        """End in previews of images."""
        for source in links:
            self("PreviewImage", images=source)
        return self

    def show_mask(self, *links: list[Any]) -> Builder:
        """End in previews of masks."""
        return self.show(*[self("MaskToImage", mask=source) for source in links])

    def tell(self, *links: list[Any]) -> Builder:
        """End in texts."""
        for source in links:
            self("PreviewAny", source=source)
        return self


Case = tuple[str, str, Builder]


def image_cases() -> list[Case]:
    """Cases of image nodes."""
    cases: list[Case] = []

    def add(node: str, label: str, builder: Builder) -> None:
        cases.append((node, label, builder))

    for color in (0, 0xFFFFFF, 0x123456, 0xFE8001):
        b = Builder()
        add("EmptyImage", hex(color), b.show(b("EmptyImage", width=9, height=5, batch_size=2, color=color)))
    for name in samples():
        b = Builder()
        add("LoadImage", name, b.show(b.load(name)).show_mask(["1", 1]))
        for channel in ("alpha", "red", "green", "blue"):
            b = Builder()
            add("LoadImageMask", f"{name} {channel}", b.show_mask(b("LoadImageMask", image=name, channel=channel)))
    for name in ("p_smooth.png", "p_noisy.png"):
        b = Builder()
        add("ImageInvert", name, b.show(b("ImageInvert", image=b.load(name))))
        sizes = [(20, 30), (106, 74), (53, 37), (7, 90), (0, 31), (29, 0), (0, 0), (1, 1)]
        for method, size, crop in itertools.product(METHODS, sizes, ("disabled", "center")):
            b = Builder()
            scaled = b(
                "ImageScale", image=b.load(name), upscale_method=method, width=size[0], height=size[1], crop=crop
            )
            add("ImageScale", f"{name} {method} {size} {crop}", b.show(scaled))
        for method, factor in itertools.product(METHODS, (0.3, 1.7, 0.01)):
            b = Builder()
            add(
                "ImageScaleBy",
                f"{method} {factor}",
                b.show(b("ImageScaleBy", image=b.load(name), upscale_method=method, scale_by=factor)),
            )
        for method in METHODS:
            b = Builder()
            add(
                "ImageScaleToTotalPixels",
                method,
                b.show(b("ImageScaleToTotalPixels", image=b.load(name), upscale_method=method, megapixels=0.01)),
            )
            b = Builder()
            add(
                "ImageScaleToMaxDimension",
                method,
                b.show(b("ImageScaleToMaxDimension", image=b.load(name), upscale_method=method, largest_size=77)),
            )
            for color, width, height in itertools.product(("white", "black"), (64, 31), (64, 33)):
                b = Builder()
                node = b(
                    "ResizeAndPadImage",
                    image=b.load(name),
                    target_width=width,
                    target_height=height,
                    padding_color=color,
                    interpolation=method,
                )
                add("ResizeAndPadImage", f"{method} {color}", b.show(node))
        for x, y, width, height in ((0, 0, 10, 10), (20, 5, 500, 8), (900, 900, 3, 3), (52, 36, 9, 9)):
            b = Builder()
            add(
                "ImageCrop",
                f"{x},{y}",
                b.show(b("ImageCrop", image=b.load(name), width=width, height=height, x=x, y=y)),
            )
        for flip in ("x-axis: vertically", "y-axis: horizontally"):
            b = Builder()
            add("ImageFlip", flip, b.show(b("ImageFlip", image=b.load(name), flip_method=flip)))
        for rotation in ("none", "90 degrees", "180 degrees", "270 degrees"):
            b = Builder()
            add("ImageRotate", rotation, b.show(b("ImageRotate", image=b.load(name), rotation=rotation)))
        for edges in ((8, 0, 0, 0), (8, 16, 24, 32), (0, 0, 0, 8), (0, 0, 0, 0)):
            for feathering in (0, 7, 40):
                b = Builder()
                sides = dict(zip(("left", "top", "right", "bottom"), edges, strict=True))
                node = b("ImagePadForOutpaint", image=b.load(name), feathering=feathering, **sides)
                add("ImagePadForOutpaint", f"{edges} {feathering}", b.show(node).show_mask([node[0], 1]))
        b = Builder()
        add("FluxKontextImageScale", name, b.show(b("FluxKontextImageScale", image=b.load(name))))
    return cases


def batch_cases() -> list[Case]:
    """Cases of batches, pairs and stitches."""
    cases: list[Case] = []
    for one, two in (("p_smooth.png", "p_noisy.png"), ("p_noisy.png", "p_smooth.png"), ("p_anim.gif", "p_noisy.png")):
        b = Builder()
        cases.append(("ImageBatch", f"{one} {two}", b.show(b("ImageBatch", image1=b.load(one), image2=b.load(two)))))
        for direction, match, spacing, color in itertools.product(
            ("right", "down", "left", "up"), (True, False), (0, 5), ("white", "red")
        ):
            b = Builder()
            node = b(
                "ImageStitch",
                image1=b.load(one),
                image2=b.load(two),
                direction=direction,
                match_image_size=match,
                spacing_width=spacing,
                spacing_color=color,
            )
            cases.append(("ImageStitch", f"{one} {direction} {match} {spacing} {color}", b.show(node)))
        for mode, factor in itertools.product(
            ("normal", "multiply", "screen", "overlay", "soft_light", "difference"), (0.5, 1.0, 0.0, 0.33)
        ):
            b = Builder()
            node = b("ImageBlend", image1=b.load(one), image2=b.load(two), blend_factor=factor, blend_mode=mode)
            cases.append(("ImageBlend", f"{mode} {factor}", b.show(node)))
        for x, y, resize, masked in itertools.product((0, 9, 90), (0, 30), (True, False), (True, False)):
            b = Builder()
            inputs: dict[str, Any] = {"mask": b.ramp(31, 17)} if masked else {}
            node = b(
                "ImageCompositeMasked",
                destination=b.load(one),
                source=b.load(two),
                x=x,
                y=y,
                resize_source=resize,
                **inputs,
            )
            cases.append(("ImageCompositeMasked", f"{one} {x},{y} {resize} {masked}", b.show(node)))
    for amount in (1, 3):
        b = Builder()
        cases.append(
            ("RepeatImageBatch", str(amount), b.show(b("RepeatImageBatch", image=b.load("p_anim.gif"), amount=amount)))
        )
    for index, length in ((0, 1), (1, 5), (9, 1)):
        b = Builder()
        cases.append(
            (
                "ImageFromBatch",
                f"{index} {length}",
                b.show(b("ImageFromBatch", image=b.load("p_anim.gif"), batch_index=index, length=length)),
            )
        )
    for size in (1, 2, 5):
        b = Builder()
        node = b("RebatchImages", images=b.load("p_anim.gif"), batch_size=size)
        sizes = b("GetImageSize", 2, image=node)
        cases.append(("RebatchImages", str(size), b.show(node).tell(sizes)))
    for name in ("p_anim.gif", "p_smooth.png"):
        b = Builder()
        node = b("GetImageSize", image=b.load(name))
        cases.append(("GetImageSize", name, b.tell(node, [node[0], 1], [node[0], 2])))
    for name in ("p_anim.gif", "p_smooth.png"):
        b = Builder()
        b("SaveAnimatedPNG", images=b.load(name), filename_prefix="parity/p", fps=6.0, compress_level=4)
        cases.append(("SaveAnimatedPNG", name, b))
        for lossless, method in itertools.product((True, False), ("default", "fastest", "slowest")):
            b = Builder()
            b(
                "SaveAnimatedWEBP",
                images=b.load(name),
                filename_prefix="parity/w",
                fps=6.0,
                lossless=lossless,
                quality=80,
                method=method,
            )
            cases.append(("SaveAnimatedWEBP", f"{name} {lossless} {method}", b))
        b = Builder()
        b("SaveImage", images=b.load(name), filename_prefix="parity/%width%x%height%_s")
        cases.append(("SaveImage", name, b))
        b = Builder()
        b("MaskPreview", mask=b.load(name, 1))
        cases.append(("MaskPreview", name, b))
    return cases


def filter_cases() -> list[Case]:
    """Cases of filters."""
    cases: list[Case] = []
    for name in ("p_smooth.png", "p_noisy.png"):
        for radius, sigma in itertools.product((1, 3, 10, 31), (0.1, 1.0, 10.0)):
            b = Builder()
            cases.append(
                (
                    "ImageBlur",
                    f"{radius} {sigma}",
                    b.show(b("ImageBlur", image=b.load(name), blur_radius=radius, sigma=sigma)),
                )
            )
            b = Builder()
            node = b("ImageSharpen", image=b.load(name), sharpen_radius=radius, sigma=sigma, alpha=0.3)
            cases.append(("ImageSharpen", f"{radius} {sigma}", b.show(node)))
        for dither, colors in itertools.product(
            ("none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"), (2, 7, 256)
        ):
            b = Builder()
            cases.append(
                (
                    "ImageQuantize",
                    f"{dither} {colors}",
                    b.show(b("ImageQuantize", image=b.load(name), colors=colors, dither=dither)),
                )
            )
        for seed, strength in ((0, 0.5), (1, 1.0), (2**64 - 1, 0.1), (123456789012345, 0.05)):
            b = Builder()
            cases.append(
                (
                    "ImageAddNoise",
                    f"{name} {seed}",
                    b.show(b("ImageAddNoise", image=b.load(name), seed=seed, strength=strength)),
                )
            )
        for operation, size in itertools.product(
            ("erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"), (3, 4, 9)
        ):
            b = Builder()
            cases.append(
                (
                    "Morphology",
                    f"{operation} {size}",
                    b.show(b("Morphology", image=b.load(name), operation=operation, kernel_size=size)),
                )
            )
        for low, high in ((0.4, 0.8), (0.1, 0.2), (0.01, 0.99)):
            b = Builder()
            cases.append(
                (
                    "Canny",
                    f"{low} {high}",
                    b.show(b("Canny", image=b.load(name), low_threshold=low, high_threshold=high)),
                )
            )
        b = Builder()
        yuv = b("ImageRGBToYUV", image=b.load(name))
        cases.append(("ImageRGBToYUV", name, b.show(yuv, [yuv[0], 1], [yuv[0], 2])))
        b = Builder()
        yuv = b("ImageRGBToYUV", image=b.load(name))
        cases.append(("ImageYUVToRGB", name, b.show(b("ImageYUVToRGB", Y=yuv, U=[yuv[0], 1], V=[yuv[0], 2]))))
    b = Builder()
    tiny = b("EmptyImage", width=2, height=2, batch_size=1, color=0x808080)
    cases.append(("ImageAddNoise", "12 values", b.show(b("ImageAddNoise", image=tiny, seed=5, strength=0.2))))
    return cases


def mask_cases() -> list[Case]:
    """Cases of masks and alpha."""
    cases: list[Case] = []
    for value in (0.0, 0.5, 1.0, 0.37):
        b = Builder()
        cases.append(("SolidMask", str(value), b.show_mask(b("SolidMask", value=value, width=8, height=5))))
        b = Builder()
        cases.append(("ThresholdMask", str(value), b.show_mask(b("ThresholdMask", mask=b.ramp(), value=value))))
    b = Builder()
    cases.append(("InvertMask", "ramp", b.show_mask(b("InvertMask", mask=b.ramp()))))
    for x, y, width, height in ((0, 0, 5, 5), (40, 30, 100, 100), (500, 0, 3, 3)):
        b = Builder()
        cases.append(
            ("CropMask", f"{x},{y}", b.show_mask(b("CropMask", mask=b.ramp(), x=x, y=y, width=width, height=height)))
        )
    for operation, (x, y) in itertools.product(
        ("multiply", "add", "subtract", "and", "or", "xor"), ((0, 0), (20, 9), (99, 99))
    ):
        b = Builder()
        node = b(
            "MaskComposite",
            destination=b.ramp(),
            source=b("InvertMask", mask=b.ramp(30, 35)),
            x=x,
            y=y,
            operation=operation,
        )
        cases.append(("MaskComposite", f"{operation} {x},{y}", b.show_mask(node)))
    for edges in ((4, 0, 0, 0), (0, 0, 4, 0), (3, 5, 7, 9), (100, 100, 100, 100)):
        b = Builder()
        sides = dict(zip(("left", "top", "right", "bottom"), edges, strict=True))
        cases.append(
            (
                "FeatherMask",
                str(edges),
                b.show_mask(b("FeatherMask", mask=b("SolidMask", value=1.0, width=16, height=12), **sides)),
            )
        )
    for expand, tapered in itertools.product((0, 1, 5, -1, -3, -200), (True, False)):
        b = Builder()
        cases.append(
            (
                "GrowMask",
                f"{expand} {tapered}",
                b.show_mask(b("GrowMask", mask=b.ramp(), expand=expand, tapered_corners=tapered)),
            )
        )
        b = Builder()
        noisy = b("ImageToMask", image=b.load("p_noisy.png"), channel="green")
        cases.append(
            (
                "GrowMask",
                f"noisy {expand} {tapered}",
                b.show_mask(b("GrowMask", mask=noisy, expand=expand, tapered_corners=tapered)),
            )
        )
    for channel in ("red", "green", "blue", "alpha"):
        b = Builder()
        cases.append(
            ("ImageToMask", channel, b.show_mask(b("ImageToMask", image=b.load("p_noisy.png"), channel=channel)))
        )
    b = Builder()
    cases.append(
        (
            "ImageColorToMask",
            "one",
            b.show_mask(
                b("ImageColorToMask", image=b("EmptyImage", width=4, height=4, batch_size=1, color=77), color=77)
            ),
        )
    )
    b = Builder()
    joined = b("JoinImageWithAlpha", image=b.load("p_alpha.png"), alpha=b.load("p_alpha.png", 1))
    cases.append(("JoinImageWithAlpha", "same size", b.show(joined)))
    b = Builder()
    joined = b("JoinImageWithAlpha", image=b.load("p_noisy.png"), alpha=b.ramp())
    split = b("SplitImageWithAlpha", image=joined)
    cases.append(("JoinImageWithAlpha", "resized", b.show(joined)))
    cases.append(("SplitImageWithAlpha", "four channels", b.show(split).show_mask([split[0], 1])))
    for mode, other in itertools.product(PORTER_DUFF.split(), ("p_noisy.png", "p_alpha.png")):
        b = Builder()
        node = b(
            "PorterDuffImageComposite",
            source=b.load("p_alpha.png"),
            source_alpha=b.load("p_alpha.png", 1),
            destination=b.load(other),
            destination_alpha=b.ramp(),
            mode=mode,
        )
        cases.append(("PorterDuffImageComposite", f"{mode} {other}", b.show(node).show_mask([node[0], 1])))
    return cases


def text_cases() -> list[Case]:
    """Cases of strings and primitives."""
    cases: list[Case] = []

    def add(node: str, **inputs: Any) -> None:
        b = Builder()
        cases.append((node, str(inputs)[:60], b.tell(b(node, **inputs))))

    for node, values in {
        "PrimitiveInt": (0, -5, 2**62, "7"),
        "PrimitiveFloat": (0, 1.5, 1e30, -2),
        "PrimitiveString": ("", "é", 5, None),
        "PrimitiveStringMultiline": ("a\nb",),
        "PrimitiveBoolean": (True, False, "false", 0),
    }.items():
        for value in values:
            add(node, value=value)
    words = ("Hello World", "ÄÖ ß", "", "  x\t", "a\nb\nA")
    for word in words:
        add("StringLength", string=word)
        add("StringConcatenate", string_a=word, string_b="Z", delimiter="-")
        for mode in ("UPPERCASE", "lowercase", "Capitalize", "Title Case"):
            add("CaseConverter", string=word, mode=mode)
        for mode in ("Both", "Left", "Right"):
            add("StringTrim", string=word, mode=mode)
        for start, end in ((0, 3), (-3, 99), (2, -1)):
            add("StringSubstring", string=word, start=start, end=end)
        add("StringReplace", string=word, find="o", replace="00")
        for sensitive in (True, False):
            add("StringContains", string=word, substring="WORLD", case_sensitive=sensitive)
            for mode in ("Starts With", "Ends With", "Equal"):
                add("StringCompare", string_a=word, string_b="hello world", mode=mode, case_sensitive=sensitive)
        for pattern in ("(l+)o", "^a", "(", "o(?= )", "(H)(e)?"):
            flags = {"case_insensitive": True, "multiline": True, "dotall": False}
            add("RegexMatch", string=word, regex_pattern=pattern, **flags)
            add("RegexReplace", string=word, regex_pattern=pattern, replace="_")
            for mode, group in itertools.product(
                ("First Match", "All Matches", "First Group", "All Groups"), (0, 1, 2)
            ):
                add("RegexExtract", string=word, regex_pattern=pattern, mode=mode, group_index=group, **flags)
    for value in (1, 1.5, True, "x", {"a": [1, None]}, {"__value__": [1, 2, 3]}):
        b = Builder()
        b("PreviewAny", source=value)
        cases.append(("PreviewAny", repr(value), b))
    return cases


def latent_cases() -> list[Case]:
    """Cases of latents: two loaded ones, and every way to change them."""
    cases: list[Case] = []

    def add(node: str, slot: int = 0, **inputs: Any) -> None:
        b = Builder()
        one, two = b("LoadLatent", latent="p_one.latent"), b("LoadLatent", latent="p_two.latent")
        given = {"ONE": one, "TWO": two, "RAMP": b.ramp}
        filled = {key: given.get(value, value) if isinstance(value, str) else value for key, value in inputs.items()}
        filled = {key: value() if callable(value) else value for key, value in filled.items()}
        b("SaveLatent", samples=b(node, slot, **filled), filename_prefix="parity/latent")
        cases.append((node, str(inputs)[:80], b))

    for method, (width, height), crop in itertools.product(
        METHODS[:4], ((128, 64), (0, 200), (80, 300)), ("disabled", "center")
    ):
        add("LatentUpscale", samples="ONE", upscale_method=method, width=width, height=height, crop=crop)
    for method in METHODS[:4]:
        add("LatentUpscaleBy", samples="ONE", upscale_method=method, scale_by=1.7)
    for index, length in ((0, 1), (1, 9)):
        add("LatentFromBatch", samples="ONE", batch_index=index, length=length)
    add("RepeatLatentBatch", samples="ONE", amount=3)
    for x, y, feather in ((0, 0, 0), (16, 40, 0), (16, 40, 24), (400, 0, 16)):
        add("LatentComposite", samples_to="ONE", samples_from="TWO", x=x, y=y, feather=feather)
        add("LatentCompositeMasked", destination="ONE", source="TWO", x=x, y=y, resize_source=False, mask="RAMP")
        add("LatentCompositeMasked", destination="ONE", source="TWO", x=x, y=y, resize_source=True)
    add("LatentBlend", samples1="ONE", samples2="TWO", blend_factor=0.3)
    for rotation in ("none", "90 degrees", "180 degrees", "270 degrees"):
        add("LatentRotate", samples="ONE", rotation=rotation)
    for flip in ("x-axis: vertically", "y-axis: horizontally"):
        add("LatentFlip", samples="ONE", flip_method=flip)
    for x, y in ((0, 0), (64, 500)):
        add("LatentCrop", samples="ONE", width=64, height=64, x=x, y=y)
    for node in ("LatentAdd", "LatentSubtract", "LatentBatch"):
        add(node, samples1="ONE", samples2="TWO")
    add("LatentMultiply", samples="ONE", multiplier=-1.3)
    add("LatentInterpolate", samples1="ONE", samples2="ONE", ratio=0.3)
    for dim in ("x", "-x", "y", "-y"):
        add("LatentConcat", samples1="ONE", samples2="ONE", dim=dim)
    for dim, index, amount in (("x", 0, 2), ("y", -3, 2), ("y", 99, 5), ("x", -99, 4)):
        add("LatentCut", samples="ONE", dim=dim, index=index, amount=amount)
    return cases + empty_latent_cases()


def empty_latent_cases() -> list[Case]:
    """Cases of empty latents."""
    cases: list[Case] = []
    square = {"width": 256, "height": 192, "batch_size": 2}
    kinds: dict[str, dict[str, Any]] = {
        "EmptyLatentImage": square,
        "EmptySD3LatentImage": square,
        "EmptyChromaRadianceLatentImage": square,
        "EmptyHunyuanImageLatent": square,
        "EmptyHunyuanLatentVideo": square | {"length": 25},
        "EmptyMochiLatentVideo": square | {"length": 25},
        "EmptyLTXVLatentVideo": square | {"length": 97},
        "EmptyCosmosLatentVideo": square | {"length": 121},
        "StableCascade_EmptyLatentImage": {**square, "width": 512, "height": 512, "compression": 42},
        "EmptyLatentAudio": {"seconds": 7.3, "batch_size": 1},
        "EmptyAceStepLatentAudio": {"seconds": 7.3, "batch_size": 1},
        "EmptyLatentHunyuan3Dv2": {"resolution": 77, "batch_size": 1},
    }
    for node, inputs in kinds.items():
        for slot in (0, 1) if node.startswith("StableCascade") else (0,):
            b = Builder()
            b("SaveLatent", samples=b(node, slot, **inputs), filename_prefix="parity/latent")
            cases.append((node, str(slot), b))
    return cases


def latent_samples() -> dict[str, bytes]:
    """Two latents as files."""
    random = np.random.default_rng(3)
    found = {}
    for name, shape in (("p_one.latent", (2, 4, 24, 32)), ("p_two.latent", (1, 4, 11, 9))):
        array = random.standard_normal(shape).astype("<f4")
        header = {
            "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
            "latent_tensor": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, array.nbytes]},
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        found[name] = len(text).to_bytes(8, "little") + text + array.tobytes()
    return found


GROUPS = {
    "latent": latent_cases,
    "image": image_cases,
    "batch": batch_cases,
    "filter": filter_cases,
    "mask": mask_cases,
    "text": text_cases,
}


def run(ours: Server, theirs: Server, cases: list[Case], only: str | None) -> dict[str, Row]:
    """Run the cases on both servers."""
    rows: dict[str, Row] = {}
    for node, label, builder in cases:
        if only and node not in only.split(","):
            continue
        row = rows.setdefault(node, Row())
        records = [server.run(builder.graph) for server in (ours, theirs)]
        states = ["refused" if "refused" in r else r["status"]["status_str"] for r in records]
        if states[0] != states[1]:
            row.cases += 1
            row.largest = 255
            detail = records[0].get("refused") or records[0]["status"]["messages"][-1][1].get("exception_message", "")
            row.notes.append(f"{label}: {states[0]}, not {states[1]}: {str(detail)[:200]}")
        elif states[0] == "refused":
            compare(row, label, [json.dumps(kinds(records[0]))], [json.dumps(kinds(records[1]))])
        else:
            compare(row, label, ours.outputs(records[0]), theirs.outputs(records[1]))
    return rows


def kinds(record: dict[str, Any]) -> list[str]:
    """The kinds of validation errors in a refusal."""
    errors = record["refused"]["node_errors"].values()
    return sorted(error["type"] for node in errors for error in node["errors"])


def main() -> int:
    """Compare, print the table, and say by the exit code whether all is within the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("emulator")
    parser.add_argument("comfyui")
    parser.add_argument("--group", choices=GROUPS, action="append")
    parser.add_argument("--node", help="only these nodes, separated by commas")
    parser.add_argument("--tolerance", type=int, default=1)
    parser.add_argument("--notes", action="store_true", help="list every difference beyond 1")
    options = parser.parse_args()
    ours, theirs = Server(options.emulator), Server(options.comfyui)
    for name, content in (samples() | latent_samples()).items():
        ours.upload(name, content)
        theirs.upload(name, content)
    rows: dict[str, Row] = {}
    for group in options.group or GROUPS:
        rows |= run(ours, theirs, GROUPS[group](), options.node)
    print(f"| {'node':<26} | cases | equal | largest difference |")
    print(f"|{'-' * 28}|------:|------:|-------------------:|")
    for node, row in sorted(rows.items()):
        print(f"| {node:<26} | {row.cases:>5} | {row.equal:>5} | {row.largest:>18} |")
    total = Row(
        sum(r.cases for r in rows.values()), sum(r.equal for r in rows.values()), max(r.largest for r in rows.values())
    )
    print(f"| {'all':<26} | {total.cases:>5} | {total.equal:>5} | {total.largest:>18} |")
    if options.notes:
        for node, row in sorted(rows.items()):
            for note in row.notes:
                print(f"{node}: {note}")
    return 1 if total.largest > options.tolerance else 0


if __name__ == "__main__":
    sys.exit(main())
