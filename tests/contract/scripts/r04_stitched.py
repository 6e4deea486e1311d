"""Three partial workflows joined into one, which runs as one prompt."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

SUPPORT = "custom_nodes/discomfort/examples/workflows"


async def main():
    discomfort = await Discomfort.create()
    with discomfort.Context() as context:
        stitched = discomfort.Tools.stitch_workflows(
            [
                f"{SUPPORT}/sdxl_load_model_and_lora.json",
                f"{SUPPORT}/latent_from_input_image.json",
                f"{SUPPORT}/sdxl_run_ksampler.json",
            ]
        )
        inputs = {
            "model_name": "sd_xl_base_1.0.safetensors",
            "lora_name": "sd_xl_offset_example-lora_1.0.safetensors",
            "lora_strength": 0.5,
            "input_image": discomfort.Tools.open_image_as_tensor("input.png"),
            "prompt": "a lighthouse at dusk",
            "denoise": 0.75,
        }
        results = await discomfort.run([stitched["stitched_workflow"]], inputs=inputs, context=context)
        discomfort.Tools.save_comfy_image_to_disk(results["output_image"], "output/stitched.png")
        await discomfort.shutdown()
    return stitched, results


if __name__ == "__main__":
    asyncio.run(main())
