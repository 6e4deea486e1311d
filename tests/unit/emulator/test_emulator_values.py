"""Noise levels, samplers, conditionings, hooks, meshes and the like: facts measured on ComfyUI."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfyui_emulator import runtime
from comfyui_emulator.nodes.conditioning import combining as conditioning
from comfyui_emulator.nodes.conditioning import hooks
from comfyui_emulator.nodes.conditioning import video_models as video_conditioning
from comfyui_emulator.nodes.images import records
from comfyui_emulator.nodes.latents import operations as latent_operations
from comfyui_emulator.nodes.latents import resizing as latents
from comfyui_emulator.nodes.latents.bislerp import bislerp
from comfyui_emulator.nodes.sampling import samplers, sigmas

RANDOM = np.random.default_rng(0)


def cond(tokens: int = 4, **options: Any) -> conditioning.Conditioning:
    """A conditioning of ones."""
    return [[np.ones((1, tokens, 2), dtype=np.float32), options]]


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """A node's context; all folders are the same."""
    with runtime.using(runtime.NodeContext(runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path))) as here:
        yield here.folders


def test_schedules() -> None:
    """Each schedule starts and ends as expected; values are ComfyUI's."""
    karras = sigmas.karras(4, 14.614642, 0.0291675, 7.0)
    assert karras == pytest.approx([14.614642, 3.1686094, 0.4469207, 0.0291675, 0.0], abs=1e-5)
    assert sigmas.exponential(3, 10.0, 0.1) == pytest.approx([10.0, 1.0, 0.1, 0.0])
    assert sigmas.polyexponential(3, 10.0, 0.1, 1.0) == pytest.approx([10.0, 1.0, 0.1, 0.0])
    assert len(sigmas.laplace(5, 14.6, 0.03, 0.0, 0.5)) == 5
    assert sigmas.variance_preserving(2, 19.9, 0.1, 0.001)[-1] == 0
    assert sigmas.ltxv(4, 2.05, 0.95, True, 0.1)[[0, -2, -1]] == pytest.approx([1.0, 0.1, 0.0])
    assert sigmas.align_your_steps("SD1", 10, 1.0)[[0, -1]] == pytest.approx([14.6146412293, 0.0])
    assert len(sigmas.optimal_steps("FLUX", 20, 0.5)) == 11
    assert len(sigmas.optimal_steps("Wan", 20, 0.0)) == 0


def test_schedules_are_changed() -> None:
    """Splitting, reversing, another first level, more levels."""
    given = np.array([8, 4, 2, 0], dtype=np.float32)

    assert [half.tolist() for half in sigmas.split(given, 1)] == [[8, 4], [4, 2, 0]]
    assert [len(half) for half in sigmas.split_denoise(given, 0.0)] == [0, 1]
    assert [len(half) for half in sigmas.split_denoise(given, 0.67)] == [2, 3]
    assert sigmas.flip(given) == pytest.approx([0.0001, 2, 4, 8])
    assert sigmas.set_first(given, 9.0).tolist() == [9, 4, 2, 0]
    assert sigmas.extend(given, 2, -1.0, 3.0, "linear").tolist() == [8, 6, 4, 3, 2, 0]


def test_noise_follows_the_batch() -> None:
    """An item has the noise of its position in the batch it comes from."""
    noise = samplers.random_noise(5)
    whole = noise.generate_noise({"samples": np.zeros((1, 4, 4, 4), np.float32)})
    one = noise.generate_noise({"samples": np.zeros((2, 4, 4, 4), np.float32), "batch_index": [1, 0]})

    assert np.array_equal(one[1:], whole)
    assert not samplers.disable_noise().generate_noise({"samples": np.zeros((1, 2))}).any()


def test_samplers_name_what_they_are() -> None:
    """A stand-in can read the method and its options."""
    assert samplers.select("euler") == samplers.Sampler("euler")
    assert samplers.er_sde("ODE", 3, 1.0, 1.0).options["s_noise"] == 0
    assert samplers.er_sde("Reverse-time SDE", 3, 1.0, 1.0).options["noise_scaler"](3.0) == 9.0
    assert samplers.lcm_upscale(2.0, -1, "area").options["upscale_steps"] is None
    assert samplers.euler_cfg_pp("regular").name == "euler_cfg_pp"


def test_conditionings_are_combined() -> None:
    """Means are zero-padded, tokens are appended, options are kept."""
    pooled = np.full((1, 3), 2, dtype=np.float32)

    mean = conditioning.average(cond(4), cond(2, pooled_output=pooled) * 2, 0.25)
    assert mean[0][0][0, :, 0].tolist() == [1, 1, 0.25, 0.25]
    assert mean[0][1]["pooled_output"].tolist() == [[2, 2, 2]]
    assert conditioning.concat(cond(4, a=1), cond(2))[0][0].shape == (1, 6, 2)
    zero = conditioning.zero_out(cond(2, pooled_output=pooled))[0]
    assert not zero[0].any()
    assert not zero[1]["pooled_output"].any()


def test_conditionings_are_limited() -> None:
    """Areas are in cells or fractions, a flat mask becomes a batch, references add up, and no argument is changed."""
    given = cond()

    assert conditioning.set_area(given, 128, 64, 8, 16, 1.0)[0][1]["area"] == (8, 16, 2, 1)
    assert conditioning.set_area_share(given, 1, 0.5, 0, 0, 1.0)[0][1]["area"][0] == "percentage"
    assert conditioning.set_mask(given, np.ones((2, 3)), 1.0, "default")[0][1]["mask"].shape == (1, 2, 3)
    twice = conditioning.reference(conditioning.reference(given, {"samples": 1}), {"samples": 2})
    assert twice[0][1]["reference_latents"] == [1, 2]
    assert conditioning.unclip(given, object(), 0.0, 0.0) is given
    assert given[0][1] == {}


def test_latents_for_conditionings() -> None:
    """Guides at the end are cut off with their mask, an upscaler gets its image from -1 to 1."""
    latent = {"samples": np.zeros((1, 2, 5, 1, 1), np.float32)}
    guided = cond(2, keyframe_idxs=np.zeros((1, 3, 1, 2)))

    positive, _, cropped = video_conditioning.crop_guides(guided, cond(), latent)
    assert (positive[0][1]["keyframe_idxs"], cropped["samples"].shape[2]) == (None, 4)
    assert cropped["noise_mask"].shape[2] == 4
    _, _, empty = video_conditioning.refiner(cond(), cond(), latent, 0.1)
    assert empty["samples"].shape == (1, 32, 5, 1, 1)
    image = np.zeros((1, 8, 8, 3), np.float32)
    above, _, small = video_conditioning.upscale_4x(image, cond(), cond(), 4.0, 0.0)
    assert (above[0][1]["concat_image"].min(), small["samples"].shape) == (-1, (1, 4, 8, 8))
    with pytest.raises(ValueError, match="one view"):
        video_conditioning.several_views()


def test_a_still_camera_sees_the_same_rays() -> None:
    """Without motion all frames are equal, and rays have no moment."""
    rays, *size = video_conditioning.camera_embedding("Static", 32, 16, 5)

    assert (rays.shape, size) == ((1, 24, 2, 16, 32), [32, 16, 5])
    assert np.array_equal(rays[:, :, 0], rays[:, :, 1])
    assert not rays[:, 0:3].any()


def test_hooks_and_keyframes() -> None:
    """Hooks join without duplicates, keyframes are sorted, limits are set only if given."""
    first, second = hooks.Hooks(("a",)), hooks.Hooks(("a", "b"))
    (later,) = hooks.keyframe(0.5, 0.6)
    (both,) = hooks.keyframe(1.0, 0.1, later)
    limited = hooks.set_properties(cond(hooks=first), 0.5, "default", hooks=second, timesteps=(0.1, 0.2))

    assert limited[0][1] == {"hooks": hooks.Hooks(("a", "b")), "start_percent": 0.1, "end_percent": 0.2}
    assert [frame.start_percent for frame in both] == [0.1, 0.6]
    assert hooks.set_keyframes(first, both).keyframes == both
    (eased,) = hooks.interpolated(0.0, 1.0, "ease_in", 0.0, 1.0, 3, True)
    assert [(f.strength, f.guarantee_steps) for f in eased] == [(0.0, 1), (0.25, 0), (1.0, 0)]
    (single,) = hooks.from_floats(0.5, 0.0, 1.0, False)
    assert single[0].strength == 0.5
    with pytest.raises(TypeError, match="numbers"):
        hooks.from_floats(None, 0.0, 1.0, False)


def test_bislerp_turns_vectors() -> None:
    """Half-way between two directions the length is kept; the same size changes nothing."""
    samples = np.zeros((1, 2, 1, 2), np.float32)
    samples[0, 0, 0, 0] = samples[0, 1, 0, 1] = 2

    bent = bislerp(samples, 3, 1)

    assert np.sqrt((bent[0, :, 0] ** 2).sum(axis=0)) == pytest.approx([2, 2, 2], abs=1e-5)
    assert np.array_equal(latents.planes(samples, 2, 1, "bislerp", "disabled"), samples)


def test_operations_on_latents() -> None:
    """Tone mapping shortens vectors, sharpening without strength keeps them."""
    given = {"samples": RANDOM.standard_normal((1, 4, 12, 12)).astype(np.float32)}

    (toned,) = latent_operations.apply(given, latent_operations.tonemap(1.0))
    (same,) = latent_operations.apply(given, latent_operations.sharpen(2, 1.0, 0.0))

    assert (np.abs(toned["samples"]) <= np.abs(given["samples"])).all()
    assert np.allclose(same["samples"], given["samples"], atol=1e-5)


def test_latents_are_regrouped() -> None:
    """Groups end where the size changes, indices continue, and a mask of ones is left out."""
    small, large = ({"samples": np.zeros((3, 4, side, side), np.float32)} for side in (2, 4))
    dark = {**large, "noise_mask": np.zeros((1, 1, 32, 32), np.float32)}

    (groups,) = latent_operations.rebatch([small, small, dark], [2])

    assert [group["batch_index"] for group in groups] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert ["noise_mask" in group for group in groups] == [False, False, False, True, True]


def test_drawings_and_losses(folders: runtime.Folders) -> None:
    """Drawings carry their prompt, losses are drawn."""
    drawing = records.Drawings([io.BytesIO(b"<svg a='1'><g/></svg>")])
    name = records.save_svg(drawing, "x", {"1": {}})["ui"]["images"][0]["filename"]
    assert '"prompt"' in (folders.output / name).read_text()
    curve = records.plot_loss({"loss": [3, 2, 1]}, "loss", {"1": {}})["ui"]["images"][0]
    with Image.open(folders.temp / curve["filename"]) as picture:
        assert picture.size == (840, 520)
