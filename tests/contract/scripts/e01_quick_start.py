"""The quick start of the introduction."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    # Start a server of its own
    discomfort = await Discomfort.create()

    # A context keeps the variables
    with discomfort.Context() as context:
        context.save("prompt", "A beautiful sunset over mountains")
        context.save("seed", 12345)

        await discomfort.run(["my_workflow.json"], context=context)

        image = context.load("output_image")
        discomfort.Tools.save_comfy_image_to_disk(image, "output.png")

    await discomfort.shutdown()
    return image


if __name__ == "__main__":
    asyncio.run(main())
