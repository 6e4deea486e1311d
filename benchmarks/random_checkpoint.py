"""A checkpoint of random weights, shaped as those of Stable Diffusion, for tests and benchmarks without a download.

    python benchmarks/random_checkpoint.py --comfyui PATH --output FILE.safetensors [--shape sd15|sdxl|small] [--seed 1]

ComfyUI's own classes say which weights there are: they are made without memory, with ComfyUI's interpreter, in its
folder. The values are written piece by piece, so that memory never has more than one weight. They come from one block
of random numbers, scaled so that a picture of them has no NaN; what it shows is noise.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

Shape = dict[str, Any]
Values = Callable[[int], bytes]

_COMMON: Shape = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "use_spatial_transformer": True,
    "legacy": False,
}  # fmt: skip
SHAPES: dict[str, Shape] = {
    "sd15": {
        **_COMMON, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4], "context_dim": 768, "num_heads": 8,
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    },
    "sdxl": {
        **_COMMON, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "context_dim": 2048, "num_head_channels": 64,
        "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10, "adm_in_channels": 2816,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "num_classes": "sequential",
        "use_linear_in_transformer": True,
    },
    "small": {
        **_COMMON, "num_res_blocks": [1, 1], "channel_mult": [1, 1], "context_dim": 768, "num_heads": 8,
        "transformer_depth": [1, 1], "transformer_depth_middle": 1, "transformer_depth_output": [1, 1, 1, 1],
    },
}  # fmt: skip
"""The settings of each diffusion model, as its authors published them; ``small`` is sd15 with fewer levels."""

_PICTURES: Shape = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip
_BLOCK = 1 << 24
"""Random numbers that all weights share, each from another place on."""


def make_checkpoint(comfyui: Path, output: Path, *, shape: str = "sd15", seed: int = 1) -> None:
    """Make a file with ComfyUI's interpreter, unless it is there. Raises CalledProcessError with what that printed."""
    from discomfort.discovery.interpreters import choose_python

    if output.exists():
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    configured = os.environ.get("COMFYUI_PYTHON")
    python = choose_python(comfyui, configured=configured, cwd=Path.cwd(), environ=os.environ)
    command = [python, __file__, "--output", output.resolve(), "--shape", shape, "--seed", str(seed), "--inside"]
    environment = {**os.environ, "PYTHONPATH": str(comfyui)}
    subprocess.run(list(map(str, command)), cwd=comfyui, env=environment, check=True)


def paths_file(models: Path, folder: Path) -> str:
    """A file in ``folder`` for ``--extra-model-paths-config``: checkpoints of another folder of models."""
    path = folder / "model_paths.yaml"
    path.write_text(json.dumps({"random": {"base_path": str(models.resolve()), "checkpoints": "checkpoints"}}))
    return str(path)


# --- with ComfyUI's interpreter ------------------------------------------------------------------------------------


def weights_of(shape: str) -> dict[str, Any]:
    """The names of all weights in a checkpoint, with tensors that have a shape and no memory."""
    import comfy.cli_args  # type: ignore[import-not-found]

    comfy.cli_args.args.cpu = True  # nothing is computed: a GPU is not asked for
    import comfy.ops  # type: ignore[import-not-found]
    import comfy.supported_models as models  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]
    from comfy.ldm.models.autoencoder import AutoencoderKL  # type: ignore[import-not-found]
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # type: ignore[import-not-found]
    from comfy.sd1_clip import SD1ClipModel  # type: ignore[import-not-found]
    from comfy.sdxl_clip import SDXLClipModel  # type: ignore[import-not-found]

    settings = SHAPES[shape]
    config = (models.SDXL if shape == "sdxl" else models.SD15)(dict(settings))
    encoder = SDXLClipModel if shape == "sdxl" else SD1ClipModel
    diffusion = UNetModel(**settings, dtype=torch.float16, device="meta", operations=comfy.ops.disable_weight_init)
    text = encoder(device="meta", dtype=torch.float16)
    with torch.device("meta"):
        pictures = AutoencoderKL(ddconfig=_PICTURES, embed_dim=4)
    return {
        **config.process_unet_state_dict_for_saving(diffusion.state_dict()),
        **config.process_clip_state_dict_for_saving(text.state_dict()),
        **config.process_vae_state_dict_for_saving(pictures.state_dict()),
    }


def header_of(weights: dict[str, Any]) -> bytes:
    """What a safetensors file begins with: where each weight is. All of them are 16-bit numbers."""
    places, at = {}, 0
    for name, weight in weights.items():
        end = at + 2 * weight.numel()
        places[name] = {"dtype": "F16", "shape": list(weight.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps({"__metadata__": {"format": "pt"}, **places}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write(weights: dict[str, Any], output: BinaryIO, seed: int) -> None:
    """All weights, one after another."""
    import torch

    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed))
    output.write(header_of(weights))
    at = 0
    for name, weight in weights.items():
        if name.endswith("position_ids"):
            output.write(torch.arange(weight.numel()).half().numpy().tobytes())
            continue
        scale = scale_of(name, list(weight.shape))
        left = weight.numel()
        while left:
            taken = min(left, _BLOCK - at)
            values = block[at : at + taken] * scale if scale is not None else torch.full((taken,), float(is_norm(name)))
            output.write(values.half().numpy().tobytes())
            left -= taken
            at = (at + taken) % _BLOCK


def is_norm(name: str) -> bool:
    """Whether a weight without a spread is 1, as those of normalisations, and not 0, as biases."""
    return not name.endswith("bias")


def scale_of(name: str, shape: list[int]) -> float | None:
    """The spread of a weight's values, such that each layer keeps the size of what goes through it; or none at all."""
    if len(shape) < 2 or name.endswith("bias"):
        return None
    return 0.7 / math.sqrt(math.prod(shape[1:]))


def make(output: Path, shape: str, seed: int) -> None:
    """The file, complete or not there."""
    began = time.monotonic()
    weights = weights_of(shape)
    part = output.with_name(f"{output.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write(weights, file, seed)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    size, took = output.stat().st_size / 1e9, time.monotonic() - began
    print(f"{output.name}: {shape}, seed {seed}, {len(weights)} weights, {size:.2f} GB in {took:.1f} s")


def main() -> None:
    """Read the command line; with ``--inside``, this is ComfyUI's interpreter."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--comfyui", type=Path, help="a ComfyUI, whose classes say what the checkpoint has")
    parser.add_argument("--output", type=Path, required=True, help="the file, such as models/checkpoints/x.safetensors")
    parser.add_argument("--shape", choices=list(SHAPES), default="sd15", help="2.1, 6.9 or 0.5 GB")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other weights")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        make(options.output, options.shape, options.seed)
    elif options.comfyui is None:
        parser.error("--comfyui is missing")
    else:
        make_checkpoint(options.comfyui, options.output, shape=options.shape, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
