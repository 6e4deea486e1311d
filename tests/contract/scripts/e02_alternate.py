"""Two workflows in turn, without and with a context."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    image = discomfort.Tools.open_image_as_tensor("input.png")
    without = []
    for i in range(4):
        workflow = "empty_latent.json" if i % 2 == 0 else "img2img.json"
        inputs = {"seed": i} if i % 2 == 0 else {"seed": i, "input_image": image}
        results = await discomfort.run([workflow], inputs=inputs)
        without.append(results["output_image"])
    with_context = []
    with discomfort.Context() as context:
        context.save("input_image", image)
        for i in range(4):
            context.save("seed", i)
            workflow = "empty_latent.json" if i % 2 == 0 else "img2img.json"
            results = await discomfort.run([workflow], context=context)
            with_context.append(context.load("output_image"))
    await discomfort.shutdown()
    return without, with_context


if __name__ == "__main__":
    asyncio.run(main())
