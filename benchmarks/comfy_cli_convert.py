"""Converts the named workflows with comfy-cli's own converter; run by the Python that has comfy-cli.

``python comfy_cli_convert.py OBJECT_INFO WORKFLOW...`` prints one JSON line for each: seconds and prompt, or an error.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path


def main(object_info: Path, workflows: list[Path]) -> None:
    """Only the conversion itself is timed; definitions and files are read before."""
    from comfy_cli.workflow_to_api import convert_ui_to_api  # type: ignore[import-not-found]

    definitions = json.loads(gzip.decompress(object_info.read_bytes()))
    for path in workflows:
        workflow = json.loads(path.read_bytes())
        started = time.perf_counter()
        try:
            prompt, error = convert_ui_to_api(workflow, definitions), None
        except Exception as caught:  # noqa: BLE001 - whatever another program raises is a wrong answer
            prompt, error = None, f"{type(caught).__name__}: {caught}"
        seconds = time.perf_counter() - started
        print(json.dumps({"name": path.name, "seconds": seconds, "prompt": prompt, "error": error}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
