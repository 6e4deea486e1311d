"""The first workflow: one run, variations, and a program that survives what goes wrong."""

import asyncio
import logging
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/discomfort_workflow.json"
logger = logging.getLogger("first_workflow")


async def once(discomfort):
    inputs = {"prompt": "a cozy cabin in the woods", "seed": 42, "cfg_scale": 7.5}
    results = await discomfort.run([WORKFLOW], inputs=inputs)
    discomfort.Tools.save_comfy_image_to_disk(results["output_image"], "my_first_image.png")


async def variations(discomfort):
    images = []
    with discomfort.Context() as context:
        context.save("prompt", "a cozy cabin in the woods")
        context.save("cfg_scale", 7.5)
        for i in range(4):
            context.save("seed", 42 + i)
            results = await discomfort.run([WORKFLOW], context=context)
            images.append(results["output_image"])
    return images


async def robust(discomfort):
    if not Path("workflow_of_mine.json").exists():
        logger.error("workflow_of_mine.json is missing")
    succeeded = []
    with discomfort.Context() as context:
        context.save("prompt", "a cozy cabin in the woods")
        context.save("cfg_scale", 7.5)
        for seed in (1, -5, 3, 4):
            try:
                context.save("seed", seed)
                results = await discomfort.run([WORKFLOW], context=context)
                if "output_image" not in results:
                    continue
                succeeded.append(seed)
            except Exception as e:
                logger.error("variation %d failed: %s", seed, e)
    return succeeded


async def main():
    discomfort = await Discomfort.create()
    await once(discomfort)
    images, succeeded = await variations(discomfort), await robust(discomfort)
    await discomfort.shutdown()
    return images, succeeded


if __name__ == "__main__":
    asyncio.run(main())
