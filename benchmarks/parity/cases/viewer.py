"""Cases of samplers, tables, latents, and the rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.building import Case, case, load, made, ramp
from benchmarks.parity.cases.latents import ONE
from benchmarks.parity.cases.values import described


def cases() -> Iterator[Case]:
    """All of them."""
    yield from samplers()
    yield from tables()
    yield from latents()
    yield from others()


def samplers() -> Iterator[Case]:
    """Two samplers of many options."""
    steps = {"rtol": 0.05, "atol": 0.0078, "h_init": 0.05, "accept_safety": 0.81}
    shares = {"pcoeff": 0.1, "icoeff": 1.0, "dcoeff": 0.2, "eta": 0.5, "s_noise": 0.9}
    for order in (2, 3):
        yield described("SamplerDPMAdaptative", order, order=order, **steps, **shares)
    for solver, eta in itertools.product(("ER-SDE", "Reverse-time SDE", "ODE"), (0.0, 0.7)):
        options = {"solver_type": solver, "max_stage": 2, "eta": eta, "s_noise": 0.8}
        yield described("SamplerER_SDE", f"{solver} {eta}", **options)


def tables() -> Iterator[Case]:
    """What is read from the ComfyUI that both servers know."""
    for steps, denoise in itertools.product((2, 10, 20, 21, 55), (1.0, 0.35, 0.0)):
        yield described("GITSScheduler", f"{steps} {denoise}", coeff=1.2, steps=steps, denoise=denoise)
    for coeff in (0.8, 0.85, 1.0, 1.15, 1.45, 1.5, 1.17):
        yield described("GITSScheduler", coeff, coeff=coeff, steps=7, denoise=1.0)
    yield described("LotusConditioning")


def latents() -> Iterator[Case]:
    """Masks, seeds and operations of latents."""
    indexed = made("ParityMaskedLatent", batch=3, side=8, indices=True)
    for behaviour, (name, samples) in itertools.product(("random", "fixed"), (("indexed", indexed), ("plain", ONE))):
        label = f"{behaviour} {name}"
        yield described("LatentBatchSeedBehavior", label, samples=samples, seed_behavior=behaviour)
    for name, mask in (("ramp", ramp()), ("loaded", load("p_alpha.png", 1))):
        yield described("SetLatentNoiseMask", name, samples=ONE, mask=mask)
    video = made("EmptyHunyuanLatentVideo", width=64, height=64, length=17, batch_size=1)
    for amount in (0, 2, 99):
        yield described("TrimVideoLatent", amount, samples=video, trim_amount=amount)
    for name in ("p_one.latent", "p_two.latent"):
        yield case("LoadLatent", name, ("latent",), latent=name)
        yield case("SaveLatent", name, (), samples=made("LoadLatent", latent=name), filename_prefix="parity/%width%_x")
    for multiplier in (0.0, 0.7):
        operation = made("LatentOperationTonemapReinhard", multiplier=multiplier)
        label = f"{multiplier}"
        yield applied("LatentOperationTonemapReinhard", label, operation)
    for radius in (1, 4):
        operation = made("LatentOperationSharpen", sharpen_radius=radius, sigma=0.7, alpha=0.3)
        yield applied("LatentOperationSharpen", f"{radius}", operation)


def applied(node: str, label: str, operation: Any) -> Case:
    """A latent, operated on."""
    return Case(node, label, case("LatentApplyOperation", "", ("latent",), samples=ONE, operation=operation).graph)


def others() -> Iterator[Case]:
    """What needs no more than a case or two."""
    for prefix in ("parity_loss", "loss %width%"):
        yield case("LossGraphNode", prefix, (), loss=made("ParityLosses"), filename_prefix=prefix)
    for name in ("p_smooth.png [input]", "p_alpha.png [input]"):
        yield case("LoadImageOutput", name, ("image", "mask"), image=name)
    for name in ("p_smooth.png", "p_anim.gif"):
        yield case("PreviewImage", name, (), images=load(name))
        yield case("SaveImageWebsocket", name, (), images=load(name))
    for name in ("p_noisy.png", "p_alpha.png"):
        yield case("MaskToImage", name, mask=load(name, 1))
    hooks = made("ParityHooks")
    frames = made("CreateHookKeyframe", strength_mult=0.5, start_percent=0.4)
    yield described("SetHookKeyframes", "none", hooks=hooks)
    yield described("SetHookKeyframes", "one", hooks=hooks, hook_kf=frames)
