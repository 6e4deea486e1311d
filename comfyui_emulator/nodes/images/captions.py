"""Text drawn on images (since ComfyUI 0.28)."""

from __future__ import annotations

from typing import Any

import numpy as np

from comfyui_emulator.nodes.base import Image, choice, link, node, number, switch, text
from comfyui_emulator.nodes.images.colours import color_input
from comfyui_emulator.nodes.images.resample import from_bytes
from comfyui_emulator.nodes.wording import must_have

_LINE_HEIGHT = 1.2
_MARGIN = 0.01
_STROKE = 0.04
_SHRINK = 0.9


@node(
    "TextOverlay",
    {
        "images": link("IMAGE"),
        "text": text(default="", multiline=True),
        "font_size": number(5.0, 0.5, 50.0, step=0.5),
        "color": color_input(),
        "position": choice(["top", "bottom"], default="top"),
        "align": choice(["left", "center", "right"], default="left"),
        "outline": switch(True),
    },
    "IMAGE",
    names="images",
    module="comfy_extras.nodes_text_overlay",
    category="text",
    title="Draw Text Overlay",
    v3=True,
)
def overlay(images: Image, text: str, font_size: float, color: str, position: str, align: str, outline: bool) -> Image:
    """Draw a text at the upper or lower edge of each image, made smaller if it does not fit."""
    from PIL import ImageColor

    if not text.strip():
        return images
    text = text.replace("\\n", "\n").replace("\\t", "\t")
    ink = ImageColor.getrgb(color)
    must_have(images, "shape")
    height, width = images.shape[1:3]
    drawing = _Drawing(width, height, text, font_size, outline=outline)
    layer = from_bytes(np.asarray(drawing.drawn(position, align, ink if len(ink) == 4 else (*ink, 255))))
    alpha = layer[..., 3:]
    result: Image = images * (np.float32(1.0) - alpha) + layer[..., :3] * alpha
    return result


class _Drawing:
    """A text at the largest size that fits on a transparent layer."""

    def __init__(self, width: int, height: int, text: str, percent: float, *, outline: bool) -> None:
        from PIL import Image as Pillow
        from PIL import ImageDraw

        self._layer = Pillow.new("RGBA", (width, height), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._layer)
        self._size, self._outline = (width, height), outline
        self._margin = round(_MARGIN * min(width, height))
        size = max(1, round(percent / 100.0 * height))
        smallest = min(size, max(10, round(0.02 * height)))
        while not self._fits(text, size) and size > smallest:
            size = max(smallest, int(size * _SHRINK))

    def _fits(self, text: str, size: int) -> bool:
        """Lay the text out at this size, and return whether it is low enough."""
        from PIL import ImageFont

        font = ImageFont.load_default(size=size)
        stroke = max(1, round(size * _STROKE)) if self._outline else 0
        block = "\n".join(_wrapped(text, font, max(1, self._size[0] - 2 * self._margin)))
        one = self._draw.textbbox((0, 0), "Ay", font=font, stroke_width=stroke)
        two = self._draw.multiline_textbbox((0, 0), "Ay\nAy", font=font, spacing=0, stroke_width=stroke)
        spacing = round(size * _LINE_HEIGHT - ((two[3] - two[1]) - (one[3] - one[1])))
        self._block = block
        self._options: dict[str, Any] = {"font": font, "spacing": spacing, "stroke_width": stroke}
        self._box = self._draw.multiline_textbbox((0, 0), block, **self._options)
        return bool(self._box[3] - self._box[1] <= max(1, self._size[1] - 2 * self._margin))

    def drawn(self, position: str, align: str, ink: tuple[int, ...]) -> Any:
        """The layer with the text."""
        width, height = self._size
        anchor, x = {
            "left": ("la", self._margin),
            "center": ("ma", width / 2),
            "right": ("ra", width - self._margin),
        }[align]
        y = height - self._margin - self._box[3] if position == "bottom" else self._margin - self._box[1]
        stroke = (0, 0, 0, 255) if self._outline else (0, 0, 0, 0)
        self._draw.multiline_text(
            (x, y), self._block, fill=ink, anchor=anchor, align=align, stroke_fill=stroke, **self._options
        )
        return self._layer


def _wrapped(text: str, font: Any, width: float) -> list[str]:
    """The lines of a text. Words that are too long are cut."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        words = paragraph.split()
        if not words:
            lines.append("")
        for word in words:
            while len(word) > 1 and font.getlength(word) > width:
                cut = 1
                while cut < len(word) and font.getlength(word[: cut + 1]) <= width:
                    cut += 1
                lines += [line, word[:cut]] if line else [word[:cut]]
                line, word = "", word[cut:]
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines += [line] if line else []
    return lines
