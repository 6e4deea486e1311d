"""Cases of videos as latents, of video and sound together, and of new schedules, samplers and references."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, Source, case, load, made
from benchmarks.parity.cases.latents import ONE, TWO, latent
from benchmarks.parity.cases.values import PAIR, cond, described

VIDEO = made("ParityShaped", 2, shape="2,3,7,6,5")
SHORT = made("ParityShaped", 2, shape="2,3,2,6,5")
MASKED = made("ParityMaskedLatent", batch=2, side=6, indices=True)
SOUND = made("EmptyAceStepLatentAudio", seconds=7.3, batch_size=1)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from cut()
    yield from replaced()
    yield from joined()
    yield from chunks()
    yield from together()
    yield from empty()
    yield from schedules()
    yield from samplers()
    yield from references()


def cut() -> Iterator[Case]:
    """Pieces as a batch."""
    for dim, size, (name, source) in itertools.product(
        ("t", "x", "y"), (1, 2, 4, 99), {"video": VIDEO, "picture": ONE}.items()
    ):
        yield latent("LatentCutToBatch", f"{name} {dim} {size}", samples=source, dim=dim, slice_size=size)
    yield described("LatentCutToBatch", "with mask", samples=MASKED, dim="x", slice_size=3)


def replaced() -> Iterator[Case]:
    """Frames in the place of others."""
    for index in (0, 3, 5, 6, 7, 8, -1, -2, -7, -8, -99):
        yield latent("ReplaceVideoLatentFrames", index, destination=VIDEO, source=SHORT, index=index)
    yield latent("ReplaceVideoLatentFrames", "none", destination=VIDEO, index=0)
    yield described("ReplaceVideoLatentFrames", "keys", destination=ONE, source=MASKED, index=2)
    for start, reference in ((4, 5), (1, 1), (3, 99), (7, 5), (99, 1), (1, 2)):
        label = f"{start} {reference}"
        counts = {"start_frame_count": start, "reference_frame_count": reference}
        yield latent("NormalizeVideoLatentStart", label, latent=VIDEO, **counts)
    counts = {"start_frame_count": 1, "reference_frame_count": 1}
    yield latent("NormalizeVideoLatentStart", "picture", latent=ONE, **counts)
    yield latent("NormalizeVideoLatentStart", "one", latent=made("ParityShaped", 2, shape="1,3,1,6,5"), **counts)


def joined() -> Iterator[Case]:
    """Batches."""
    groups: dict[str, tuple[Source, ...]] = {
        "one": (ONE,),
        "sizes": (ONE, TWO),
        "masks": (MASKED, ONE, MASKED),
        "videos": (VIDEO, VIDEO),
        "frames": (VIDEO, SHORT),
    }
    for name, group in groups.items():
        yield described("BatchLatentsNode", name, **{f"latents.latent{k}": one for k, one in enumerate(group)})
    yield described("BatchLatentsNode", "gap", **{"latents.latent0": TWO, "latents.latent49": ONE})
    yield described("BatchLatentsNode", "beyond", **{"latents.latent0": TWO, "latents.latent50": ONE})


def chunks() -> Iterator[Case]:
    """Videos in pieces, and together again."""
    video = made("ParityShaped", 2, shape="1,16,11,3,2")
    for frames, overlap in itertools.product((1, 5, 21, 41, 45), (0, 1, 3, 99)):
        options = {"chunking_mode": "manual", "chunking_mode.frames_per_chunk": frames, "temporal_overlap": overlap}
        label = f"{frames} {overlap}"
        yield described("SeedVR2TemporalChunk", label, (0, 1), latent=video, **options)
        pieces = made("SeedVR2TemporalChunk", latent=video, **options)
        for other in (overlap, 2):
            merged = {"latents": pieces, "temporal_overlap": other}
            yield described("SeedVR2TemporalMerge", f"{label} {other}", **merged)
    auto = {"chunking_mode": "auto", "temporal_overlap": 1}
    yield described("SeedVR2TemporalChunk", "auto", (0, 1), latent=video, **auto)
    for name, source in {"picture": ONE, "channels": VIDEO}.items():
        yield described("SeedVR2TemporalChunk", name, latent=source, **auto)
    manual = {"chunking_mode": "manual", "chunking_mode.frames_per_chunk": 4, "temporal_overlap": 0}
    yield described("SeedVR2TemporalChunk", "4 frames", latent=video, **manual)
    yield described("SeedVR2TemporalMerge", "pictures", latents=ONE, temporal_overlap=1)
    odd = made("ParityList", first=VIDEO, second=made("ParityShaped", 2, shape="2,3,2,6,4"))
    yield described("SeedVR2TemporalMerge", "sizes", latents=odd, temporal_overlap=1)


def together() -> Iterator[Case]:
    """Video and sound in one latent."""
    pairs: dict[str, tuple[Source, Source]] = {
        "plain": (VIDEO, SOUND),
        "video masked": (MASKED, SOUND),
        "sound masked": (VIDEO, MASKED),
    }
    made_pairs = {
        name: made("LTXVConcatAVLatent", video_latent=video, audio_latent=audio)
        for name, (video, audio) in pairs.items()
    }
    for name, (video, audio) in pairs.items():
        yield described("LTXVConcatAVLatent", name, video_latent=video, audio_latent=audio)
        yield described("LTXVSeparateAVLatent", name, (0, 1), av_latent=made_pairs[name])
    longer = made("EmptyAceStepLatentAudio", seconds=9.0, batch_size=1)
    shorter = made("EmptyAceStepLatentAudio", seconds=2.0, batch_size=1)
    wide = made("ParityMaskedLatent", batch=2, side=9, indices=False)
    for name, audio in {"longer": longer, "shorter": shorter, "equal": SOUND, "other": TWO}.items():
        for former in ("plain", "video masked"):
            label = f"{name} for {former}"
            yield described("LTXVConcatAVLatent", label, video_latent=made_pairs[former], audio_latent=audio)
    for name, audio in {"masked": MASKED, "wide": wide}.items():
        yield described("LTXVConcatAVLatent", name, video_latent=made_pairs["sound masked"], audio_latent=audio)
    tall = made("LatentCut", samples=wide, dim="x", index=0, amount=4)
    long = made("LatentConcat", samples1=MASKED, samples2=MASKED, dim="x")
    square = made("LTXVConcatAVLatent", video_latent=VIDEO, audio_latent=long)
    yield described("LTXVConcatAVLatent", "mask and padding", video_latent=square, audio_latent=MASKED)
    back = made("LTXVConcatAVLatent", video_latent=VIDEO, audio_latent=tall)
    yield described("LTXVConcatAVLatent", "mask and cut", video_latent=back, audio_latent=wide)
    yield described("LTXVSeparateAVLatent", "no joint one", (0, 1), av_latent=ONE)
    for length in (5, 6, 22, 124, 130):
        yield described("EmptyMiniMaxH3LatentAV", length, width=64, height=96, length=length)


def empty() -> Iterator[Case]:
    """Empty ones for newer models, with what else they tell."""
    square = {"width": 96, "height": 64, "batch_size": 2}
    kinds: dict[str, dict[str, Any]] = {
        "EmptyHunyuanVideo15Latent": square | {"length": 25},
        "EmptyARVideoLatent": square | {"length": 24},
        "EmptyFlux2LatentImage": square,
        "EmptyQwenImageLayeredLatentImage": square | {"layers": 3},
        "EmptyHiDreamO1LatentImage": square,
        "EmptyTrellis2LatentStructure": {"batch_size": 1},
    }
    for node, inputs in kinds.items():
        yield described(node, "", **inputs)
    for seconds in (1.0, 7.34, 33.3):
        yield described("EmptyAceStep1.5LatentAudio", seconds, seconds=seconds, batch_size=2)
        yield described("EmptyMiniMaxMusic3LatentAudio", seconds, seconds=seconds, batch_size=2)
    for seconds in (0.04, 360.0):
        yield described("EmptyMiniMaxMusic3LatentAudio", seconds, seconds=seconds, batch_size=1)


def schedules() -> Iterator[Case]:
    """Noise levels."""
    for text in ("1, 0.5", "1, .5 -2 x3", "", "1e5", "+1..5", "14.6;7,3 0", "٣", "-.5.5"):
        yield described("ManualSigmas", text, sigmas=text)
    for steps, (width, height) in itertools.product((1, 2, 20, 200), ((256, 256), (1024, 768), (8192, 4096))):
        size = {"steps": steps, "width": width, "height": height}
        yield described("Flux2Scheduler", f"{steps} {width}", **size)
        for mu, std in ((0.0, 1.75), (-10.0, 0.1), (3.3, 5.0)):
            yield described("Ideogram4Scheduler", f"{steps} {width} {mu}", mu=mu, std=std, **size)


def samplers() -> Iterator[Case]:
    """Samplers with their options, and noise that was made before."""
    for solver in ("phi_1", "phi_2"):
        yield described("SamplerSEEDS2", solver, solver_type=solver, eta=0.5, s_noise=0.9, r=0.7)
    yield described("SamplerLCM", "", s_noise=1, s_noise_end=0.5, noise_clip_std=2.5)
    yield described("SamplerARVideo", "", num_frame_per_block=3)
    yield described("VOIDSampler")
    yield described("VOIDWarpedNoiseSource", "", warped_noise=ONE)


def references() -> Iterator[Case]:
    """Conditionings multiplied, and with sounds and pictures."""
    for factor in (0.0, -1.3, 100.0):
        yield described("ConditioningMultiply", factor, conditioning=cond(), multiplier=factor)
    yield described("ReferenceTimbreAudio", "none", conditioning=cond())
    once = made("ReferenceTimbreAudio", conditioning=cond(), latent=SOUND)
    yield described("ReferenceTimbreAudio", "two", conditioning=once, latent=SOUND)
    pictures = {"images.image_1": load("p_smooth.png"), "images.image_3": load("p_noisy.png")}
    yield described("HiDreamO1ReferenceImages", "two", (0, 1), **PAIR, **pictures)
    beyond = {"images.image_1": load("p_smooth.png"), "images.image_11": load("p_noisy.png")}
    yield described("HiDreamO1ReferenceImages", "beyond", (0, 1), **PAIR, **beyond)
    yield case("HiDreamO1ReferenceImages", "none", (), **PAIR)
    for family, shape in (("flux", 16), ("flux", 128), ("sd3", 16), ("sdxl", 4), ("qwenimage", 16), ("zz", 4)):
        for name, sides in {"picture": "6,5", "video": "3,6,5"}.items():
            given = made("ParityShaped", 2, shape=f"1,{shape},{sides}")
            options = {"latent": given, "latent_format": family, "degrade_sigma": 0.3}
            yield described("PiDConditioning", f"{family} {shape} {name}", positive=cond(), **options)
    for size in (9, 40):
        voxel = {"voxel": made("ParityFilled", size=size)}
        yield described("Trellis2ShapeStage", size, (0, 1, 2), **PAIR, **voxel)
        shape_latent = made("Trellis2ShapeStage", 2, **PAIR, **voxel)
        yield described("Trellis2TextureStage", size, (0, 1, 2), **PAIR, shape_latent=shape_latent)
    yield described("Trellis2ShapeStage", "empty", **PAIR, voxel=made("ParityFilled", size=1))
