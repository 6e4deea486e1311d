"""Texts below the options in the help of the commands: examples, environment, exit codes."""

from __future__ import annotations

from collections.abc import Sequence

# Lines of at most 75 characters: with their indent they fit a terminal of 80 columns.
EXIT_CODES = [
    "Exit codes:",
    "0  success",
    "1  a run or a check failed, or Ctrl-C (once: clean stop; twice: at once)",
    "2  the command line, the configuration or an input file is wrong",
]
_ENVIRONMENT = [
    "Environment:",
    "COMFYUI_PATH       the ComfyUI folder, unless it is configured",
    "DISCOMFORT_CONFIG  the configuration file, unless --config is given",
    "DISCOMFORT_<KEY>   one setting, such as DISCOMFORT_INITIAL_PORT=8288;",
    "                   overrides the file",
    "NO_COLOR           no colours, no moving bars",
]
TOP = [
    "Examples:",
    "discomfort doctor                          check this machine",
    "discomfort run workflow.json               save its outputs to ./output",
    "discomfort run workflow.json --set KSampler.seed=42 -o results",
    "discomfort convert workflow.json > prompt.json",
]
RUN = [
    "Examples:",
    "discomfort run workflow.json",
    "discomfort run a.json b.json -o results",
    "discomfort run upscale.json --help         the inputs of this workflow",
    "discomfort run upscale.json --image photo.jpg --scale 4",
    "discomfort run workflow.json --set KSampler.seed=42",
    "discomfort run workflow.json --set KSampler.seed=0..19 \\",
    "    --name '{workflow}-{KSampler.seed}' --skip-existing   resumable",
    "discomfort run workflow.json --csv prompts.csv --repeat 3",
    "discomfort run workflow.json --set 'Positive prompt.text=a red fox'",
    "discomfort run workflow.json --input a.png --set LoadImage.image=a.png",
    "discomfort run picture.png                 the workflow inside a picture",
    "discomfort run load.json sample.json --in seed=7 --in photo=in.png \\",
    "    --out image=out.png                    values at ports",
    "cat workflow.json | discomfort run - --json | jq -r '.outputs[].path'",
    "discomfort run workflow.json --attach https://gpu:8188 --header @token.txt",
    "discomfort run workflow.json --csv prompts.csv --pool gpus",
    "discomfort run *.json --pool http://a:8188,http://b:8188 --retry 1",
]
POOL_STATUS = [
    "Examples:",
    "discomfort pool status                     once",
    "discomfort pool status --watch             live, until Ctrl-C",
    "discomfort pool status --json | jq '.[].status.waiting'",
]
SWEEP = [
    "Examples:",
    "discomfort sweep workflow.json --grid seed=0..7 --grid cfg=5,7 -o results",
    "discomfort sweep workflow.json --table prompts.csv -o results",
    "discomfort sweep workflow.json --table prompts.csv --grid seed=0..3",
    "discomfort sweep workflow.json --grid 'photo=in/*.png' --json",
    "discomfort sweep workflow.json --grid KSampler.seed=0..7   by selector",
]
CONVERT = [
    "Examples:",
    "discomfort convert workflow.json > prompt.json",
    "discomfort convert workflow.json -o prompt.json",
    "discomfort convert *.json -o prompts       prompts/<name>.prompt.json",
]
EXPLAIN = [
    "Examples:",
    "discomfort explain workflow.json",
    "discomfort explain workflow.json --attach http://gpu:8188",
    "discomfort explain workflow.json --json | jq -r '.install // empty'",
]
PROVIDE = [
    "Examples:",
    "discomfort provide workflow.json           show, ask, fetch",
    "discomfort provide workflow.json --dry-run",
    "HF_TOKEN=hf_... discomfort provide workflow.json --yes   gated models",
]
PLAN = [
    "Examples:",
    "discomfort plan workflow.json",
    "discomfort plan workflow.json --online     with the sizes of missing models",
    "discomfort plan *.json --json | jq -r '.[].models[] | select(.is_missing) | .url'",
]
INTERFACE = [
    "Examples:",
    "discomfort interface upscale.json",
    "discomfort interface upscale.json --write  make upscale.discomfort.yaml",
    "discomfort interface upscale.json --json | jq .schema",
]
STUBS = [
    "Examples:",
    "discomfort stubs upscale.json              stubs/upscale.py and .pyi",
    "discomfort stubs workflows/*.json -o src/shop/workflows",
    "discomfort stubs upscale.json --attach http://gpu:8188",
]
PORTS = [
    "Examples:",
    "discomfort ports workflow.json",
    "discomfort ports *.json                    check all of them",
    "discomfort ports workflow.json --json | jq -r '.ports[].unique_id'",
]
DOCTOR = [
    "Examples:",
    "discomfort doctor",
    "discomfort doctor --start                  also start the server, test it",
    "discomfort doctor --json | jq '.checks[] | select(.status != \"ok\")'",
    "discomfort doctor --start --json > report.json     for a bug report",
    "discomfort doctor --clean                  remove what dead runs left",
]
SNAPSHOT = [
    "Examples:",
    "discomfort snapshot http://gpu:8188 -o object_info.json.gz",
    "discomfort snapshot https://gpu --header @token.txt -o definitions.json",
    "discomfort snapshot http://gpu:8188 | jq 'keys | length'",
    "discomfort serve --object-info object_info.json.gz     serve them",
]
CONFORMANCE = [
    "Examples:",
    "discomfort conformance --against http://127.0.0.1:8188",
    "discomfort conformance --against http://127.0.0.1:8188 --exclusive",
    "discomfort conformance --against https://gpu --only 'files.*' --only routes",
    "discomfort conformance --list              list the checks",
    "discomfort conformance --against http://127.0.0.1:8188 --json > report.json",
]


def epilog(examples: Sequence[str]) -> str:
    """Examples, environment and exit codes as help text; the mark keeps typer from joining the lines of a block."""
    blocks = [examples, _ENVIRONMENT, EXIT_CODES]
    return "\n\n".join("\b\n" + "\n  ".join(lines) for lines in blocks)
