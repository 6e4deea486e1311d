"""A picture is improved until a judge likes it: ``python refine_until_good.py photo.png``."""

import sys

from discomfort import Discomfort

with Discomfort.sync() as discomfort, discomfort.Context() as context:
    context.save("picture", discomfort.Tools.open_image_as_tensor(sys.argv[1]))
    for attempt in range(1, 21):
        results = discomfort.run(["improve.json", "judge.json"], context=context)
        print(f"attempt {attempt}: quality {results['quality']:.2f}")
        if results["quality"] >= 0.7:
            break
    discomfort.Tools.save_comfy_image_to_disk(results["picture"], "results/refined.png")
    print("results/refined.png")
