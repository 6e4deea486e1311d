"""Ten rounds that load the model each time with another strength; the picture of one round is the start of the next."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

SUPPORT = "custom_nodes/discomfort/examples/workflows"


async def main():
    discomfort = await Discomfort.create()
    images = []
    with discomfort.Context() as context:
        context.save("model_name", "sd_xl_base_1.0.safetensors")
        context.save("lora_name", "sd_xl_offset_example-lora_1.0.safetensors")
        context.save("prompt", "a lighthouse at dusk")
        context.save("input_image", discomfort.Tools.open_image_as_tensor("input.png"))
        for i in range(10):
            context.save("lora_strength", i * 0.1)
            await discomfort.run([f"{SUPPORT}/sdxl_load_model_and_lora.json"], context=context)
            if i % 2 == 0:
                await discomfort.run([f"{SUPPORT}/latent_1024x1024_empty.json"], context=context)
            else:
                await discomfort.run([f"{SUPPORT}/latent_from_input_image.json"], context=context)
            results = await discomfort.run(
                [f"{SUPPORT}/sdxl_run_ksampler.json"], inputs={"denoise": 1.0}, context=context
            )
            context.save("input_image", context.load("input_image"))
            images.append(results["output_image"])
        await discomfort.shutdown()
    return images


if __name__ == "__main__":
    asyncio.run(main())
