"""The curves of a sweep as SVG: text that a change of the scheduler changes in a readable way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 40, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NAMES = {"ours": "this pool", "serve": "Serve-like"}

Points = list[tuple[float, float]]


def draw(rows: Sequence[Mapping[str, object]], folder: Path) -> None:
    """The pictures of the sizing guide."""
    folder.mkdir(parents=True, exist_ok=True)
    waits = {
        f"{NAMES[router]}, {models} models": found
        for router in NAMES
        for models in (60, 500)
        if (found := points(rows, "load", "wait_p95", router=router, models=models))
    }
    loads = {
        f"{NAMES[router]}, demand {load:g}": found
        for router in NAMES
        for load in (0.7, 0.9)
        if (found := points(rows, "models", "loads_per_1000", router=router, load=load))
    }
    useful = {
        f"{models} models": found
        for models in (10, 60, 200, 500)
        if (found := points(rows, "load", "useful", router="ours", models=models))
    }
    pictures = {
        "pool-waits": chart("Wait that 95% of the runs do not exceed", "demand", "seconds", waits, top=120),
        "pool-loads": chart("Loads for 1,000 runs", "models", "loads", loads, even=True),
        "pool-useful": chart(
            "Part of the GPU time in which runs are executed, this pool", "demand", "", useful, bottom=0.5, top=1.0
        ),
    }
    for name, picture in pictures.items():
        (folder / f"{name}.svg").write_text(picture, encoding="utf-8")


def points(rows: Sequence[Mapping[str, object]], x: str, y: str, **only: object) -> Points:
    """The mean over the seeds, for each value of ``x``."""
    found: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        if all(row[name] == value for name, value in only.items()):
            found[float(str(row[x]))].append(float(str(row[y])))
    return [(value, fmean(found[value])) for value in sorted(found)]


def chart(
    title: str,
    x_name: str,
    y_name: str,
    lines: Mapping[str, Points],
    *,
    bottom: float = 0.0,
    top: float | None = None,
    even: bool = False,
) -> str:
    """One picture. ``top`` cuts off what is above; ``even`` puts the values of ``x`` at equal distances."""
    values = sorted({x for found in lines.values() for x, _ in found})
    top = top if top is not None else 1.1 * max((y for found in lines.values() for _, y in found), default=1.0)

    def across(x: float) -> float:
        part = (
            values.index(x) / max(len(values) - 1, 1) if even else (x - values[0]) / max(values[-1] - values[0], 1e-9)
        )
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (min(y, top) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 22, title, size=14),
        text((WIDTH - RIGHT + LEFT) / 2, HEIGHT - 12, x_name, anchor="middle"),
        text(LEFT - 8, TOP - 8, y_name, anchor="end"),
    ]
    for step in range(5):
        y = bottom + step * (top - bottom) / 4
        parts.append(f'<path d="M{LEFT} {up(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, up(y) + 4, f"{y:.3g}", anchor="end"))
    parts += [text(across(x), HEIGHT - BOTTOM + 18, f"{x:g}", anchor="middle") for x in values]
    for number, (name, found) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in found)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text(WIDTH - RIGHT + 10, TOP + 18 * number + 10, name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, colour: str = "black") -> str:
    """A text in a picture."""
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{words}</text>'
