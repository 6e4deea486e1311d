"""Twelve combinations of seed and CFG scale, with a report. Started again, it makes what is missing."""

import csv
import itertools
from pathlib import Path

from discomfort import Discomfort, RunError

FOLDER = Path("sweep")
FOLDER.mkdir(exist_ok=True)

with Discomfort.sync() as discomfort, discomfort.Context() as context, (FOLDER / "report.csv").open("a") as file:
    report = csv.writer(file)
    discomfort.run("load_model.json", context=context)  # its models stay in the server
    context.save("prompt", "a lighthouse at dusk")
    for seed, cfg in itertools.product(range(4), (1.0, 4.0, 8.0)):
        picture = FOLDER / f"{seed}-{cfg}.png"
        if picture.exists():
            continue
        try:
            results = discomfort.run("sample.json", {"seed": seed, "cfg": cfg}, context=context)
        except RunError as error:
            report.writerow([seed, cfg, f"failed: {error}"])
            continue
        discomfort.Tools.save_comfy_image_to_disk(results["image"], picture)  # appears complete, or not at all
        report.writerow([seed, cfg, picture])
        print(picture)
