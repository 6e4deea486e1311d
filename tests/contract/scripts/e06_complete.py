"""The complete example: a model that is loaded once, and pictures of it for each seed and cfg."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    images = {}
    try:
        with discomfort.Context() as context:
            context.save("model_name", "sd_xl_base_1.0.safetensors")
            await discomfort.run(["load_model.json"], context=context)
            context.save("prompt", "a portrait")
            context.save("input_image", discomfort.Tools.open_image_as_tensor("input.png"))
            for seed in range(5):
                for cfg in (5.0, 7.5):
                    context.save("seed", seed)
                    context.save("cfg", cfg)
                    results = await discomfort.run(["img2img_workflow.json"], context=context)
                    if "output_image" in results:
                        images[seed, cfg] = results["output_image"]
                        name = f"output/seed_{seed}_cfg_{cfg}.png"
                        discomfort.Tools.save_comfy_image_to_disk(results["output_image"], name)
            usage = context.get_usage()
            print(f"RAM: {usage['ram_usage_gb']:.2f} of {usage['ram_capacity_gb']:.2f} GB")
            print(f"Disk: {usage['temp_disk_usage_mb']:.2f} MB, {usage['stored_keys_count']} values")
    finally:
        await discomfort.shutdown()
    return images, usage


if __name__ == "__main__":
    asyncio.run(main())
