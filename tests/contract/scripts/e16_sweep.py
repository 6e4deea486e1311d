"""A sweep over a hundred combinations of parameters, with a report; failures are recorded and passed over."""

import asyncio
import itertools
import json
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/parameter_sweep_workflow.json"
SEEDS, CFGS, STEPS = range(5), (1.0, 5.0, 7.5, 12.0), (10, 20, 30, 0, 50)


async def main():
    discomfort = await Discomfort.create()
    folder = Path("parameter_sweep_results")
    folder.mkdir(exist_ok=True)
    report = []
    with discomfort.Context() as context:
        context.save("prompt", "a majestic castle")
        context.save("negative_prompt", "blurry")
        context.save("width", 64)
        context.save("height", 64)
        for number, (seed, cfg, steps) in enumerate(itertools.product(SEEDS, CFGS, STEPS)):
            entry = {"number": number, "seed": seed, "cfg_scale": cfg, "steps": steps}
            context.save("seed", seed)
            context.save("cfg_scale", cfg)
            context.save("steps", steps)
            try:
                results = await discomfort.run([WORKFLOW], context=context)
                name = f"sweep_{number:03}.png"
                discomfort.Tools.save_comfy_image_to_disk(results["output_image"], str(folder / name))
                report.append({**entry, "success": True, "image": name})
            except Exception as e:
                report.append({**entry, "success": False, "error": str(e)})
    (folder / "report.json").write_text(json.dumps(report, indent=2))
    good = sum(each["success"] for each in report)
    (folder / "summary.txt").write_text(f"{good} of {len(report)} combinations succeeded\n")
    await discomfort.shutdown()
    return report


if __name__ == "__main__":
    asyncio.run(main())
