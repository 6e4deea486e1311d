"""Cases of colours, curves and histograms, and of what gives one picture the colours of another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.parity.building import Case, case, load, made
from benchmarks.parity.cases.values import described

COLORS = ("#ffffff", "#01020a", "#ABCDEF80", "red", "#fff", "#gggggg", "")


def cases() -> Iterator[Case]:
    """All of them."""
    for color in COLORS:
        yield described("ColorToRGBInt", color, range(3), color=color)
    yield from transferred()
    yield from curves()
    yield from restored()


def transferred() -> Iterator[Case]:
    """Every method, for one picture and for several."""
    pictures = ("p_smooth.png", "p_noisy.png", "p_anim.png")
    modes = ({"source_stats": "per_frame"}, {"source_stats": "uniform"})
    frames = tuple({"source_stats": "target_frame", "source_stats.target_index": index} for index in (1, 99))
    for method, mode, strength in itertools.product(
        ("reinhard_lab", "mkl_lab", "histogram"), (*modes, *frames), (0.0, 0.5, 1.0, 1.5)
    ):
        for target, reference in itertools.permutations(pictures, 2):
            given = {"image_target": load(target), "image_ref": load(reference)}
            label = f"{target} {reference} {method} {list(mode.values())} {strength}"
            yield case("ColorTransfer", label, method=method, strength=strength, **given, **mode)
    glass = {"image_target": load("p_smooth.png"), "image_ref": load("p_alpha.png")}
    for method in ("reinhard_lab", "mkl_lab", "histogram"):
        yield case("ColorTransfer", f"{method} alpha", method=method, strength=1.0, **glass, **modes[0])


def curves() -> Iterator[Case]:
    """Curves by their points, and histograms."""
    lines: dict[str, list[list[float]]] = {
        "level": [[0, 0], [1, 1]],
        "bent": [[0.9, 0.2], [0, 0.1], [0.3, 0.8], [0.5, 0.8], [0.7, 0.1]],
        "steep": [[0.2, 0], [0.21, 1], [0.21, 0.5], [0.8, 0.6]],
        "one": [[0.4, 0.3]],
        "none": [],
    }
    for (name, points), kind in itertools.product(lines.items(), ("monotone_cubic", "linear", "other")):
        yield described("CurveEditor", f"{name} {kind}", curve={"points": points, "interpolation": kind})
    wrapped = {"__type__": "CURVE", "__value__": {"points": lines["bent"], "interpolation": "linear"}}
    yield described("CurveEditor", "wrapped", curve=wrapped)
    yield described("CurveEditor", "points", curve={"__value__": lines["bent"]})
    given = {"curve": {"points": lines["level"]}, "histogram": made("ImageHistogram", 1, image=load("p_smooth.png"))}
    yield described("CurveEditor", "with a histogram", **given)
    for name in ("p_smooth.png", "p_noisy.png", "p_alpha.png", "p_anim.png"):
        yield described("ImageHistogram", name, range(5), image=load(name))


def restored() -> Iterator[Case]:
    """Videos before and after a model."""
    for name in ("p_smooth.png", "p_anim.png", "p_alpha.png"):
        yield described("SeedVR2Preprocess", name, resized_images=load(name))
    blurred = made("ImageBlur", image=load("p_noisy.png"), blur_radius=3, sigma=1.0)
    small = made(
        "ImageScale", image=load("p_noisy.png"), upscale_method="bilinear", width=21, height=35, crop="disabled"
    )
    videos = {"blurred": blurred, "smaller": small, "larger": load("p_smooth.png"), "several": load("p_anim.png")}
    originals = ("p_noisy.png", "p_anim.png", "p_alpha.png")
    for (name, video), original, method in itertools.product(
        videos.items(), originals, ("lab", "wavelet", "adain", "none")
    ):
        given = {"images": video, "original_resized_images": load(original), "color_correction_method": method}
        yield case("SeedVR2PostProcessing", f"{name} {original} {method}", **given)
