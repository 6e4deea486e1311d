"""An interface with an input of each kind, for tests of its forms."""

from __future__ import annotations

from discomfort.workflow.interface.parameters import InputTarget, Interface, InterfaceOutput, Parameter

IMAGE = Parameter(name="image", type="IMAGE", source="app", upload="image", targets=(InputTarget("10:3", "image"),))
SCALE = Parameter(
    name="scale", type="FLOAT", source="app", minimum=1.0, maximum=4.0, default=2.0, description="How much larger"
)
SAMPLER = Parameter(name="sampler", type="COMBO", source="app", choices=("euler", "heun", "it's", "d"), default="euler")
SEED = Parameter(
    name="seed", type="INT", source="app", minimum=0.0, maximum=2**64 - 1, default=7, label="Seed of noise"
)
SECRET = Parameter(name="secret", type="STRING", source="sidecar", default="", is_hidden=True)
PICTURE = InterfaceOutput(name="image", type="IMAGE", source="app", node_id="9")


def interface(*parameters: Parameter, outputs: tuple[InterfaceOutput, ...] = (PICTURE,)) -> Interface:
    """Those inputs, and one picture."""
    return Interface({each.name: each for each in parameters}, {each.name: each for each in outputs})


UPSCALE = interface(IMAGE, SCALE, SAMPLER, SEED, SECRET)
"""What the texts of the forms are written for."""

TYPED = interface(
    *(IMAGE, SCALE, SAMPLER, SEED),
    Parameter(
        name="ckpt_name",
        type="COMBO",
        source="app",
        choices=(
            "base.safetensors",
            "it's.safetensors",
            "größe.safetensors",
            "xl/turbo.safetensors",
            "xl/base.safetensors",
        ),
        default="gone.safetensors",
    ),
    Parameter(name="prompt", type="STRING", source="app", default="a red fox", is_multiline=True),
    Parameter(name="tiled", type="BOOLEAN", source="app", default=False),
    Parameter(name="frames", type="IMAGE", source="port", port="frames", default=None),
    outputs=(PICTURE, InterfaceOutput(name="history", type="STRING", source="port", node_id="11")),
)
"""What ``tests/typed_calls`` has the stubs of, which mypy reads with the rest of the tree."""
