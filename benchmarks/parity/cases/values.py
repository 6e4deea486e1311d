"""Cases of other values: noise levels, noise, samplers, conditionings, hooks, meshes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from benchmarks.parity.building import Builder, Case, Source, case, load, made, ramp
from benchmarks.parity.cases.latents import ONE, TWO


def described(node: str, label: object = "", slots: Sequence[int] = (0,), **inputs: object) -> Case:
    """A case whose outputs are shown as structure and numbers."""
    builder = Builder()
    node_id, _ = builder(node, **inputs)
    for slot in slots:
        shown, _ = builder("ParityDescribe", value=[node_id, slot])
        builder.end("text", [shown, 0])
        builder.end("latent", [shown, 1])
    return Case(node, str(label)[:80], builder.graph)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from schedules()
    yield from changed_schedules()
    yield from samplers()
    yield from conditionings()
    yield from paired()
    yield from hooks()
    yield from solids()
    yield from others()
    yield from latents()


def schedules() -> Iterator[Case]:
    """Schedules without a model."""
    levels = {"sigma_max": 14.614642, "sigma_min": 0.0291675}
    for steps in (1, 2, 7, 20, 100):
        yield described("KarrasScheduler", steps, steps=steps, rho=7.0, **levels)
        yield described("ExponentialScheduler", steps, steps=steps, **levels)
        yield described("PolyexponentialScheduler", steps, steps=steps, rho=1.3, **levels)
        yield described("LaplaceScheduler", steps, steps=steps, mu=0.2, beta=0.5, **levels)
        yield described("VPScheduler", steps, steps=steps, beta_d=19.9, beta_min=0.1, eps_s=0.001)
    for steps, denoise in itertools.product((3, 10, 20, 33), (1.0, 0.6, 0.0)):
        for kind in ("SD1", "SDXL", "SVD"):
            yield described("AlignYourStepsScheduler", f"{kind} {steps}", model_type=kind, steps=steps, denoise=denoise)
        for kind in ("FLUX", "Wan", "Chroma"):
            yield described("OptimalStepsScheduler", f"{kind} {steps}", model_type=kind, steps=steps, denoise=denoise)
    for steps, stretch, latent in itertools.product((1, 20), (True, False), ({}, {"latent": ONE})):
        options = {"max_shift": 2.05, "base_shift": 0.95, "stretch": stretch, "terminal": 0.1}
        yield described("LTXVScheduler", f"{steps} {stretch}", steps=steps, **options, **latent)


def changed_schedules() -> Iterator[Case]:
    """Schedules, changed."""
    sigmas = made("KarrasScheduler", steps=9, rho=7.0, sigma_max=14.6, sigma_min=0.03)
    flipped = made("FlipSigmas", sigmas=sigmas)
    yield described("FlipSigmas", "", sigmas=sigmas)
    yield described("FlipSigmas", "twice", sigmas=flipped)
    yield described("SetFirstSigma", "", sigmas=sigmas, sigma=136.0)
    for step in (0, 4, 99):
        yield described("SplitSigmas", step, (0, 1), sigmas=sigmas, step=step)
    for denoise in (0.0, 0.4, 1.0):
        yield described("SplitSigmasDenoise", denoise, (0, 1), sigmas=sigmas, denoise=denoise)
    for steps, (start, end), spacing in itertools.product(
        (1, 2, 5), ((-1.0, 12.0), (5.0, 0.5)), ("linear", "cosine", "sine")
    ):
        limits = {"start_at_sigma": start, "end_at_sigma": end, "spacing": spacing}
        yield described("ExtendIntermediateSigmas", f"{steps} {limits}", sigmas=sigmas, steps=steps, **limits)


def samplers() -> Iterator[Case]:
    """Noise, and samplers with their options."""
    yield described("DisableNoise")
    for seed in (0, 5, 2**64 - 1):
        yield described("RandomNoise", seed, noise_seed=seed)
    yield described("KSamplerSelect", "", sampler_name="euler")
    both = {"eta": 0.5, "s_noise": 0.9}
    for device in ("gpu", "cpu"):
        yield described("SamplerDPMPP_3M_SDE", device, noise_device=device, **both)
        yield described("SamplerDPMPP_2M_SDE", device, noise_device=device, solver_type="heun", **both)
        yield described("SamplerDPMPP_SDE", device, noise_device=device, r=0.4, **both)
    yield described("SamplerDPMPP_2S_Ancestral", "", **both)
    yield described("SamplerEulerAncestral", "", **both)
    yield described("SamplerEulerAncestralCFGPP", "", **both)
    yield described("SamplerLMS", "", order=3)
    yield described("SamplerEulerCFGpp", "alternative", version="alternative")
    yield described("SamplerEulerCFGpp", "regular", version="regular")
    for steps in (-1, 3):
        yield described("SamplerLCMUpscale", steps, scale_ratio=2.0, scale_steps=steps, upscale_method="bislerp")


def cond(seed: int = 1, tokens: int = 7) -> Source:
    """A conditioning."""
    return made("ParityConditioning", seed=seed, tokens=tokens)


PAIR = {"positive": cond(3), "negative": cond(4)}


def conditionings() -> Iterator[Case]:
    """One conditioning, or two in one."""
    one = {"conditioning": cond()}
    yield described("ConditioningCombine", conditioning_1=cond(), conditioning_2=cond(2))
    for tokens, strength in itertools.product((3, 7, 12), (0.0, 0.3, 1.0)):
        pair = {"conditioning_to": cond(), "conditioning_from": cond(2, tokens)}
        yield described("ConditioningAverage", f"{tokens} {strength}", conditioning_to_strength=strength, **pair)
        yield described("ConditioningConcat", tokens, **pair)
    area = {"width": 128, "height": 64, "x": 8, "y": 16}
    yield described("ConditioningSetArea", strength=0.7, **one, **area)
    share = {"width": 0.5, "height": 0.25, "x": 0.1, "y": 0.2}
    yield described("ConditioningSetAreaPercentage", strength=0.7, **one, **share)
    yield described("ConditioningSetAreaPercentageVideo", strength=0.7, temporal=0.4, z=0.3, **one, **share)
    yield described("ConditioningSetAreaStrength", strength=0.7, **one)
    for area_kind in ("default", "mask bounds"):
        yield described("ConditioningSetMask", mask=ramp(), strength=0.7, set_cond_area=area_kind, **one)
    yield described("ConditioningZeroOut", **one)
    yield described("ConditioningSetTimestepRange", start=0.1, end=0.7, **one)
    for strength in (0.0, 0.5):
        seen = made("ParitySeen", seed=1)
        yield described(
            "unCLIPConditioning", strength, clip_vision_output=seen, strength=strength, noise_augmentation=0.1, **one
        )
    yield described("FluxGuidance", guidance=3.5, **one)
    yield described("FluxDisableGuidance", **one)
    for method in ("offset", "index", "uxo/uno"):
        yield described("FluxKontextMultiReferenceLatentMethod", method, reference_latents_method=method, **one)
    yield described("ReferenceLatent", "none", **one)
    again = made("ReferenceLatent", latent=ONE, **one)
    yield described("ReferenceLatent", "two", conditioning=again, latent=TWO)
    yield described("StableCascade_StageB_Conditioning", stage_c=ONE, **one)


def paired() -> Iterator[Case]:
    """Two conditionings, with a latent or without."""
    yield described("ConditioningStableAudio", "", (0, 1), seconds_start=1.0, seconds_total=9.0, **PAIR)
    yield described("LTXVConditioning", "", (0, 1), frame_rate=24.0, **PAIR)
    video = made("EmptyLTXVLatentVideo", width=64, height=64, length=17, batch_size=1)
    yield described("LTXVCropGuides", "", (0, 1, 2), latent=video, **PAIR)
    yield described("HunyuanRefinerLatent", "", (0, 1, 2), latent=video, noise_augmentation=0.2, **PAIR)
    for ratio in (4.0, 0.3):
        options = {"scale_ratio": ratio, "noise_augmentation": 0.1, "images": load("p_smooth.png")}
        yield described("SD_4XUpscale_Conditioning", ratio, (0, 1, 2), **options, **PAIR)
    yield described("Hunyuan3Dv2Conditioning", "", (0, 1), clip_vision_output=made("ParitySeen", seed=1))
    views = {name: made("ParitySeen", seed=number) for number, name in enumerate(("front", "back", "right"))}
    yield described("Hunyuan3Dv2ConditioningMultiView", "", (0, 1), **views)


def hooks() -> Iterator[Case]:
    """Conditionings with masks and times, keyframes."""
    kinds = {"strength": 0.6, "set_cond_area": "mask bounds"}
    times = made("ConditioningTimestepsRange", start_percent=0.1, end_percent=0.6)
    yield described("ConditioningTimestepsRange", "", (0, 1, 2), start_percent=0.1, end_percent=0.6)
    new = {"positive_NEW": cond(5), "negative_NEW": cond(6)}
    for label, limits in {"none": {}, "mask": {"mask": ramp()}, "both": {"mask": ramp(), "timesteps": times}}.items():
        yield described("ConditioningSetProperties", label, cond_NEW=cond(), **kinds, **limits)
        yield described("ConditioningSetPropertiesAndCombine", label, cond=cond(2), cond_NEW=cond(), **kinds, **limits)
        yield described("PairConditioningSetProperties", label, (0, 1), **new, **kinds, **limits)
        yield described("PairConditioningSetPropertiesAndCombine", label, (0, 1), **PAIR, **new, **kinds, **limits)
    four = {name: cond(k) for k, name in enumerate(("positive_A", "negative_A", "positive_B", "negative_B"))}
    yield described("PairConditioningCombine", "", (0, 1), **four)
    yield described("ConditioningSetDefaultCombine", "", cond=cond(), cond_DEFAULT=cond(2))
    defaults = {"positive_DEFAULT": cond(5), "negative_DEFAULT": cond(6)}
    yield described("PairConditioningSetDefaultCombine", "", (0, 1), **PAIR, **defaults)
    for count in (2, 4, 8):
        yield described(f"CombineHooks{count}")
    first = made("CreateHookKeyframe", strength_mult=0.5, start_percent=0.4)
    yield described("CreateHookKeyframe", "", strength_mult=0.7, start_percent=0.2, prev_hook_kf=first)
    part = {"start_percent": 0.1, "end_percent": 0.9, "print_keyframes": False, "prev_hook_kf": first}
    for curve in ("linear", "ease_in", "ease_out", "ease_in_out"):
        ends = {"strength_start": 1.0, "strength_end": 0.2, "interpolation": curve, "keyframes_count": 5}
        yield described("CreateHookKeyframesInterpolated", curve, **ends, **part)
    yield described("CreateHookKeyframesFromFloats", "", floats_strength=made("ParityFloats"), **part)


def solids() -> Iterator[Case]:
    """Meshes of voxels, and the ways of cameras."""
    for size, threshold in itertools.product((9, 24), (0.6, -0.2, 1.0)):
        voxel = {"voxel": made("ParityVoxels", seed=size, size=size), "threshold": threshold}
        yield described("VoxelToMeshBasic", f"{size} {threshold}", **voxel)
        for algorithm in ("basic", "surface net"):
            yield described("VoxelToMesh", f"{size} {threshold} {algorithm}", algorithm=algorithm, **voxel)
    for pose in ("Static", "Pan Up", "Pan Left", "Zoom In", "Zoom Out", "Anti Clockwise (ACW)", "ClockWise (CW)"):
        frame = {"width": 32, "height": 16, "length": 9, "speed": 1.5, "cx": 0.4}
        yield described("WanCameraEmbedding", pose, (0, 1, 2, 3), camera_pose=pose, **frame)
    tall = {"width": 16, "height": 48, "length": 5}
    yield described("WanCameraEmbedding", "tall", (0,), camera_pose="Zoom In", **tall)


def others() -> Iterator[Case]:
    """Pictures from elsewhere."""
    yield case("SaveSVGNode", "", (), svg=made("ParityDrawings"), filename_prefix="parity/drawing")
    yield case("WebcamCapture", "", image="p_smooth.png", width=0, height=0, capture_on_queue=True)


def latents() -> Iterator[Case]:
    """Latents, regrouped and operated on."""
    for method in ("bislerp",):
        for width, height in ((128, 64), (40, 300), (512, 512)):
            label = f"{method} {width}"
            size = {"upscale_method": method, "width": width, "height": height, "crop": "disabled"}
            yield case("LatentUpscale", label, ("latent",), samples=ONE, **size)
        for factor in (1.7, 0.4):
            yield case("LatentUpscaleBy", method, ("latent",), samples=ONE, upscale_method=method, scale_by=factor)
    for multiplier in (1.0, 0.2):
        operation = made("LatentOperationTonemapReinhard", multiplier=multiplier)
        yield case("LatentApplyOperation", f"tonemap {multiplier}", ("latent",), samples=ONE, operation=operation)
    for radius, sigma, alpha in ((9, 1.0, 0.1), (1, 0.5, 2.0)):
        options = {"sharpen_radius": radius, "sigma": sigma, "alpha": alpha}
        operation = made("LatentOperationSharpen", **options)
        yield case("LatentApplyOperation", f"sharpen {radius}", ("latent",), samples=ONE, operation=operation)
    same = made("ParityMaskedLatent", batch=3, side=8, indices=True), made("LoadLatent", latent="p_one.latent")
    equal = (
        made("ParityMaskedLatent", batch=3, side=8, indices=True),
        made("ParityMaskedLatent", batch=2, side=8, indices=False),
    )
    for (number, (one, two)), size in itertools.product(enumerate((same, equal)), (1, 2, 4, 9)):
        pair = made("ParityList", first=one, second=two)
        yield described("RebatchLatents", f"{number} {size}", latents=pair, batch_size=size)
