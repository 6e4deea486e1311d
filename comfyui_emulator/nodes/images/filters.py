"""Image filters: blur, sharpening, quantization, noise, morphology, colour spaces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import Image, choice, integer, link, node, number
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.wording import channels_second, check_mirror, joined

_IMAGE = link("IMAGE")
_POST: dict[str, Any] = {
    "module": "comfy_extras.nodes_post_processing",
    "category": "image/filters",
    "v3": True,
}


def gaussian(radius: int, sigma: float) -> npt.NDArray[np.float32]:
    """One axis of the kernel. Its ends are at -1 and 1 for any radius."""
    line = np.linspace(-1, 1, radius * 2 + 1, dtype=np.float32)
    weights = np.exp(-(line * line) / np.float32(2.0 * sigma * sigma))
    kernel: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return kernel


def _convolve(image: Image, line: npt.NDArray[np.float32]) -> Image:
    """Convolve both axes with one kernel, mirrored at the edges. Raises ``RuntimeError`` if the image is too small."""
    radius = len(line) // 2
    _, height, width, _ = image.shape
    check_mirror(channels_second(image.shape), radius)
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="reflect")
    across = sum_of(padded[:, :, k : k + width] * weight for k, weight in enumerate(line))
    return sum_of(across[:, k : k + height] * weight for k, weight in enumerate(line))


def sum_of(parts: Any) -> Image:
    """The sum of the arrays in their order, in float32."""
    total: Image | None = None
    for part in parts:
        total = part if total is None else total + part
    assert total is not None  # noqa: S101 - kernels are not empty
    return total


@node(
    "ImageBlur",
    {"image": _IMAGE, "blur_radius": integer(1, 1, 31, step=1), "sigma": number(1.0, 0.1, 10.0, step=0.1)},
    "IMAGE",
    title="Blur Image",
    touches={"image": "to"},
    **_POST,
)
def image_blur(image: Image, blur_radius: int, sigma: float) -> Image:
    """Gaussian blur. ``sigma`` is relative to the radius."""
    return image if blur_radius == 0 else _convolve(image, gaussian(blur_radius, sigma))


@node(
    "ImageSharpen",
    {
        "image": _IMAGE,
        "sharpen_radius": integer(1, 1, 31, step=1, advanced=True),
        "sigma": number(1.0, 0.1, 10.0, step=0.01, advanced=True),
        "alpha": number(1.0, 0.0, 5.0, step=0.01, advanced=True),
    },
    "IMAGE",
    title="Sharpen Image",
    **_POST,
    touches={"image": "shape"},
)
def image_sharpen(image: Image, sharpen_radius: int, sigma: float, alpha: float) -> Image:
    """Subtract the blurred image times ten ``alpha``. The weights sum to one."""
    if sharpen_radius == 0:
        return image
    strength = np.float32(alpha * 10)
    blurred = _convolve(image, gaussian(sharpen_radius, sigma))
    return np.clip(image * (np.float32(1.0) + strength) - blurred * strength, 0, 1)


@node(
    "ImageQuantize",
    {
        "image": _IMAGE,
        "colors": integer(256, 1, 256, step=1),
        "dither": choice(["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"]),
    },
    "IMAGE",
    title="Quantize Image",
    **_POST,
    touches={"image": "shape"},
)
def image_quantize(image: Image, colors: int, dither: str) -> Image:
    """Reduce each image to a palette of few colours."""
    from PIL import Image as Pillow

    _, _, _, channels = image.shape
    result = np.zeros_like(image)
    for index, item in enumerate(image):
        if channels in (2, 4):
            # Pillow's error when it converts such a picture to RGB.
            raise ValueError("Invalid mode for data type")
        picture = Pillow.fromarray((item * np.float32(255)).astype(np.uint8))
        palette = picture.quantize(colors=colors)
        if dither.startswith("bayer"):
            picture = Pillow.fromarray(_ordered(np.asarray(picture), palette, int(dither.rpartition("-")[2])))
        kind = Pillow.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Pillow.Dither.NONE
        result[index] = from_bytes(np.asarray(picture.quantize(palette=palette, dither=kind).convert("RGB")))
    return result


def _bayer(power: int) -> npt.NDArray[np.float64]:
    """The threshold matrix with side 2**power, centred on zero."""
    if power == 0:
        return np.zeros((1, 1))
    count = 4.0**power
    inner = count * _bayer(power - 1)
    return np.block([[inner - 1.5, inner + 0.5], [inner + 1.5, inner - 0.5]]) / count


def _ordered(pixels: npt.NDArray[np.uint8], palette: Any, order: int) -> npt.NDArray[np.uint8]:
    """Add the matrix to the pixels, scaled to the distance between two colours."""
    spread = 2 * 256 / (len(palette.getpalette()) // 3)
    matrix = spread * _bayer(int(math.log2(order))) + 0.5
    height, width = pixels.shape[:2]
    side = matrix.shape[0]
    tiled = np.tile(matrix, (math.ceil(height / side), math.ceil(width / side)))[:height, :width, None]
    dithered = pixels.astype(np.float32) + tiled.astype(np.float32)
    return np.clip(dithered, 0, 255).astype(np.uint8)


def torch_randn(count: int, seed: int) -> npt.NDArray[np.float32]:
    """``count`` normal float32 numbers, the same as torch's CPU generator draws from its Mersenne twister."""
    numbers: npt.NDArray[np.float32] = torch_randn_parts(1, count, seed)[0]
    return numbers


def torch_randn_parts(times: int, count: int, seed: int) -> npt.NDArray[np.float32]:
    """Successive draws of ``count`` numbers: ``[times, count]``.

    For 16 values or more, torch turns blocks of 16 uniform numbers into normal ones by the Box-Muller method, and draws
    the last block again if the count is not a multiple of 16. For fewer values it makes pairs in double precision, and
    keeps the second number of a pair for the next draw.
    """
    source = np.random.RandomState(seed & 0xFFFFFFFF)

    def draw(number: int) -> npt.NDArray[np.uint64]:
        return source.randint(0, 2**32, size=number, dtype=np.uint64)

    if count < _BLOCK:
        return _few_normals(times * count, draw).reshape(times, count)
    return np.stack([_many_normals(count, draw) for _ in range(times)])


_BLOCK = 16


def _many_normals(count: int, draw: Any) -> npt.NDArray[np.float32]:
    def normals(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
        uniform = (raw & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
        blocks = uniform.reshape(-1, 2, _BLOCK // 2)
        radius = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - blocks[:, 0]))
        angle = np.float32(2.0 * math.pi) * blocks[:, 1]
        return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1).reshape(-1).astype(np.float32)

    raw = draw(count)
    whole = count // _BLOCK * _BLOCK
    values = np.empty(count, dtype=np.float32)
    values[:whole] = normals(raw[:whole])
    if whole != count:
        values[count - _BLOCK :] = normals(draw(_BLOCK))
    return values


def _few_normals(count: int, draw: Any) -> npt.NDArray[np.float32]:
    values: list[float] = []
    while len(values) < count:
        # A double has 53 bits from two words, the high word first.
        words = [int(word) for word in draw(4)]
        first, second = ((words[k] << 32 | words[k + 1]) & (2**53 - 1) for k in (0, 2))
        radius = math.sqrt(-2.0 * math.log1p(-second * 2.0**-53))
        angle = 2.0 * math.pi * first * 2.0**-53
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return np.array(values[:count], dtype=np.float32)


@node(
    "ImageAddNoise",
    {
        "image": _IMAGE,
        "seed": integer(0, 0, 2**64 - 1, control_after_generate=True),
        "strength": number(0.5, 0.0, 1.0, step=0.01),
    },
    "IMAGE",
    module="comfy_extras.nodes_images",
    category="image/filters",
    title="Add Noise to Image",
    v3=True,
)
def image_add_noise(image: Image, seed: int, strength: float) -> Image:
    """Add normal noise, which is the same as ComfyUI's for the same seed."""
    noise = torch_randn(image.size, seed).reshape(image.shape)
    return np.clip(image + np.float32(strength) * noise, 0.0, 1.0)


def _windows(image: Image, size: int, value: float, *, smallest: bool) -> Image:
    """The largest or smallest value in the window around each pixel. The image is padded with ``value``.

    A window of even size extends one pixel further: to the upper left for the smallest value, to the lower right for
    the largest.
    """
    combine = np.minimum if smallest else np.maximum
    before, after = size // 2, size - 1 - size // 2
    if not smallest:
        before, after = after, before
    for axis in (1, 2):
        padding = [(0, 0)] * 4
        padding[axis] = (before, after)
        padded = np.pad(image, padding, constant_values=np.float32(value))
        image = _sliding(padded, axis, size, combine)
    return image


def _sliding(padded: Image, axis: int, size: int, combine: Any) -> Image:
    """Extremes of windows of ``size`` along an axis. Sizes double: a window of 2n consists of two of n."""
    length = padded.shape[axis] - size + 1
    reach, current = 1, padded

    def part(array: Image, start: int, stop: int) -> Image:
        index: list[slice] = [slice(None)] * array.ndim
        index[axis] = slice(start, stop)
        return array[tuple(index)]

    while reach * 2 <= size:
        count = current.shape[axis] - reach
        current = combine(part(current, 0, count), part(current, reach, reach + count))
        reach *= 2
    rest: Image = combine(part(current, 0, length), part(current, size - reach, size - reach + length))
    return rest


_FAR = 1e4
"""kornia's padding value, which never wins."""


def erode(image: Image, size: int) -> Image:
    """The smallest value in each window."""
    return _windows(image, size, _FAR, smallest=True)


def dilate(image: Image, size: int) -> Image:
    """The largest value in each window."""
    return _windows(image, size, -_FAR, smallest=False)


@node(
    "Morphology",
    {
        "image": _IMAGE,
        "operation": choice(["erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"]),
        "kernel_size": integer(3, 3, 999, step=1),
    },
    "IMAGE",
    module="comfy_extras.nodes_morphology",
    category="image/filters",
    title="Apply Morphology",
    v3=True,
    touches={"image": "to"},
)
def morphology(image: Image, operation: str, kernel_size: int) -> Image:
    """Apply grey-scale morphology with a square window."""
    if image.ndim != 4:
        raise ValueError(f"Input size must have 4 dimensions. Got {image.ndim}")
    size = kernel_size
    if operation == "erode":
        return erode(image, size)
    if operation == "dilate":
        return dilate(image, size)
    if operation == "gradient":
        return dilate(image, size) - erode(image, size)
    opened = dilate(erode(image, size), size) if operation in ("open", "top_hat") else image
    closed = erode(dilate(image, size), size) if operation in ("close", "bottom_hat") else image
    results = {"open": opened, "close": closed, "top_hat": image - opened, "bottom_hat": closed - image}
    if operation not in results:
        raise ValueError(
            f"Invalid operation {operation} for morphology. Must be one of 'erode', 'dilate', 'open', 'close', "
            "'gradient', 'tophat', 'bottomhat'"
        )
    return results[operation]


_YUV: dict[str, Any] = {
    "module": "comfy_extras.nodes_morphology",
    "category": "image/color",
    "v3": True,
}
# Full-range YCbCr with the BT.601 coefficients as rounded by kornia.
_RED, _GREEN, _BLUE, _CB, _CR = (np.float32(value) for value in (0.299, 0.587, 0.114, 0.564, 0.713))
_HALF = np.float32(0.5)


@node(
    "ImageRGBToYUV",
    {"image": _IMAGE},
    "IMAGE IMAGE IMAGE",
    names="Y U V",
    title="Image RGB to YUV",
    touches={"image": "movedim"},
    **_YUV,
)
def rgb_to_yuv(image: Image) -> tuple[Image, Image, Image]:
    """Brightness and two colour differences, each as a grey image."""
    shape = channels_second(image.shape)
    if len(shape) < 3 or shape[-3] != 3:
        raise ValueError(f"Input size must have a shape of (*, 3, H, W). Got torch.Size({list(shape)})")
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    luma = _RED * red + _GREEN * green + _BLUE * blue
    parts = (luma, (blue - luma) * _CB + _HALF, (red - luma) * _CR + _HALF)
    grey = [np.repeat(part[..., None], image.shape[-1], axis=-1) for part in parts]
    return grey[0], grey[1], grey[2]


@node("ImageYUVToRGB", {"Y": _IMAGE, "U": _IMAGE, "V": _IMAGE}, "IMAGE", title="Image YUV to RGB", **_YUV)
def yuv_to_rgb(Y: Image, U: Image, V: Image) -> Image:  # noqa: N803 - the names of the inputs
    """The inverse, with the coefficients of kornia 0.9."""
    whole = joined([_grey(part)[..., None] for part in (Y, U, V)], -1)
    luma, blue, red = whole[..., 0], whole[..., 1], whole[..., 2]
    blue, red = blue - _HALF, red - _HALF
    green = luma - np.float32(0.7144034731) * red - np.float32(0.3443401356) * blue
    colours = (luma + np.float32(1.4025245442) * red, green, luma + np.float32(1.7730496454) * blue)
    picture: Image = np.clip(np.stack(colours, axis=-1), 0, 1)
    return picture


def _grey(image: Image) -> Image:
    """The mean of the channels, summed in their order."""
    total = sum_of(image[..., k] for k in range(image.shape[-1]))
    mean: Image = total / np.float32(image.shape[-1])
    return mean
