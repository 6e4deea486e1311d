"""The first tutorial: a text and the name of a model in, a picture out, and onto the disk."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/test_workflow.json"


async def main():
    discomfort = await Discomfort.create()
    with discomfort.Context() as context:
        context.save("prompt", "a portrait of a fox")
        context.save("model_name", "sd_xl_base_1.0.safetensors")
        await discomfort.run([WORKFLOW], context=context)
        image = context.load("output_image")
        discomfort.Tools.save_comfy_image_to_disk(image, "output/tutorial_1.png")
        await discomfort.shutdown()
    return image


if __name__ == "__main__":
    asyncio.run(main())
