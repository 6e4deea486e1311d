"""A sweep whose inputs have one more than the workflow has ports."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/parameter_sweep_workflow.json"


async def main():
    discomfort = await Discomfort.create()
    images = []
    with discomfort.Context() as context:
        for denoise in (0.4, 0.8):
            parameters = {
                "prompt": "a castle", "negative_prompt": "rain", "seed": 1, "cfg_scale": 7.0, "steps": 20,
                "width": 64, "height": 64, "denoise": denoise,
            }  # fmt: skip
            results = await discomfort.run([WORKFLOW], inputs=parameters, context=context)
            images.append((results["output_image"], context.load("denoise")))
    await discomfort.shutdown()
    return images


if __name__ == "__main__":
    asyncio.run(main())
