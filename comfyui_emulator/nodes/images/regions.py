"""The picture of an editor's boxes, with their colours and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image
from comfyui_emulator.nodes.images.resample import from_bytes

Colour = tuple[int, int, int]
_LONGEST = 1024
_DIMMED = 0.25
_NO_COLOUR: Colour = (140, 140, 140)
_WHITE: Colour = (255, 255, 255)


def rgb_of(value: str) -> Colour:
    """The colour that ``#rrggbb`` names; white if it names none."""
    digits = value.lstrip("#")
    if len(digits) != 6:
        return _WHITE
    try:
        red, green, blue = (int(digits[k : k + 2], 16) for k in (0, 2, 4))
    except ValueError:
        return _WHITE
    return red, green, blue


def _brightness(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


_READABLE = 130


def _readable(colour: Colour) -> Colour:
    """The colour, made as bright as a text on dark ground has to be."""
    brightness = _brightness(colour)
    if brightness >= _READABLE:
        return colour
    share = (_READABLE - brightness) / (255 - brightness)
    red, green, blue = (round(part + (255 - part) * share) for part in colour)
    return red, green, blue


def _wrapped(draw: Any, text: str, font: Any, width: float) -> list[str]:
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and draw.textlength(longer, font=font) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _picture(background: Any) -> Any:
    """The first image for Pillow; ``None`` if there is none, or none of its kinds."""
    from PIL import Image as Pillow

    if not isinstance(background, np.ndarray):
        return None
    try:
        return Pillow.fromarray((background[0] * 255).clip(0, 255).astype(np.uint8))
    except (TypeError, ValueError, IndexError):
        return None


def _ground(width: int, height: int, background: Image | None) -> Any:
    """The dimmed background, or a dark grey, at most 1024 pixels long."""
    from PIL import Image as Pillow
    from PIL import ImageEnhance

    picture = _picture(background)
    if picture is not None:
        width, height = picture.size
    factor = min(1.0, _LONGEST / (max(width, height) or 1))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if picture is None:
        grey = round(_DIMMED * 128)
        return Pillow.new("RGBA", size, (grey, grey, grey, 255))
    smaller = picture.convert("RGB").resize(size, Pillow.Resampling.LANCZOS)
    return ImageEnhance.Brightness(smaller).enhance(_DIMMED).convert("RGBA")


def draw_regions(regions: Sequence[dict[str, Any]], width: int, height: int, background: Image | None) -> Image:
    """The regions, drawn over the background."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    ground = _ground(width, height, background)
    layer = Pillow.new("RGBA", ground.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    for number, region in enumerate(regions, 1):
        _draw_region(draw, region, number, ground.size)
    return from_bytes(np.asarray(Pillow.alpha_composite(ground, layer).convert("RGB")))[None]


def _draw_region(draw: Any, region: dict[str, Any], number: int, size: tuple[int, int]) -> None:
    from PIL import ImageFont

    colours = [colour for colour in (region["palette"] or []) if colour]
    ink = rgb_of(colours[0]) if colours else _NO_COLOUR
    left, right = _edges(region["x"], region["w"], size[0])
    top, bottom = _edges(region["y"], region["h"], size[1])
    draw.rectangle([left, top, right, bottom], outline=(*ink, 255), width=2)
    points = max(10, round(size[1] / 64))
    if right - left > 2:
        _draw_colours(draw, colours[:5], (left, top, right), max(5, points // 2))
    tag, tag_font = f"{number:02}", ImageFont.load_default(max(9, points - 2))
    length = draw.textlength(tag, font=tag_font)
    draw.rectangle([left, top, left + length + 6, top + points + 2], fill=(*ink, 255))
    contrast = (0, 0, 0, 255) if _brightness(ink) > 140 else (255, 255, 255, 255)
    draw.text((left + 3, top + 1), tag, fill=contrast, font=tag_font)
    body = region["desc"] or ""
    if region["type"] == "text" and region["text"]:
        body = f'"{region["text"]}"' + (f" — {body}" if body else "")
    if body and right - left > 8:
        _draw_text(draw, body, ImageFont.load_default(points), ink, (left, top, right, bottom), points)


def _edges(start: float, length: float, whole: int) -> tuple[int, int]:
    first, last = (max(0, min(whole, round(place * whole))) for place in (start, start + length))
    return min(first, last), max(first, last)


def _draw_colours(draw: Any, colours: Sequence[str], place: tuple[int, int, int], high: int) -> None:
    left, top, right = place
    for index, colour in enumerate(colours):
        start, end = (left + round(k * (right - left) / len(colours)) for k in (index, index + 1))
        draw.rectangle([start, top, end, top + high], fill=rgb_of(colour))


def _draw_text(draw: Any, body: str, font: Any, ink: Colour, place: tuple[int, int, int, int], points: int) -> None:
    left, top, right, bottom = place
    y = top + points + 5
    for line in _wrapped(draw, body, font, right - left - 8):
        if y > bottom:
            break
        draw.text((left + 4, y), line, fill=(*_readable(ink), 255), font=font)
        y += points + 2
