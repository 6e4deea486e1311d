"""A sample of the official templates: which they are, and a hash of the prompt that each frontend made of each.

The templates are not part of the repository; ``make setup`` gets them in the package
``comfyui-workflow-templates-json``. ``benchmarks/record_prompts.py --templates FOLDER`` makes the hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from browser.newer_sample import HERE

DEFINITIONS = HERE / "templates-definitions.json"
HASHES = HERE / "templates-hashes.json"
"""The package's version, and for each frontend the hash of each template's prompt."""

NAMES = (
    "api_ideogram_p_image_t2i",
    "flux1_dev_uso_reference_image_gen",
    "hidream_e1_1",
    "hunyuan_video_text_to_video",
    "image_anima_lllite_image_inpainting",
    "image_flux2_klein_image_edit_4b_distilled",
    "image_joyai_image_edit",
    "image_kandinsky5_t2i",
    "image_qwen_Image_2512_controlnet",
    "image_qwen_image_instantx_inpainting_controlnet",
    "llm_gemma4_text_gen",
    "sdxl_refiner_prompt_example",
    "template_eric_thumbnail_generator",
    "template_image_speech_to_video",
    "utility_sdpose_multi_person",
    "utility_sdpose_ood_image_to_pose",
    "utility_video_segment_sam3",
    "utility_void_video_inpainting",
    "video_bernini_r_image_editing",
)
"""They need no pack. Together they have nearly every feature of the format and kind of input that templates use; not
those whose prompts have names of their own each time (the pictures of a 3D viewer)."""


def hashes() -> dict[str, Any]:
    """What is recorded."""
    recorded: dict[str, Any] = json.loads(HASHES.read_bytes()) if HASHES.is_file() else {"package": "", "frontends": {}}
    return recorded


def folder(version: str) -> Path:
    """Where the templates of a version of the package are, whether they are there or not."""
    place = Path(os.environ.get("TEMPLATES") or Path(sys.prefix) / "templates")
    return place / version / "comfyui_workflow_templates_json" / "templates"


def templates(place: Path) -> dict[str, Any]:
    """The sample's workflows by name."""
    return {name: json.loads((place / f"{name}.json").read_bytes()) for name in NAMES}


def prompt_hash(prompt: Any) -> str:
    """SHA-256 of a prompt as JSON with sorted keys and no spaces."""
    return hashlib.sha256(json.dumps(prompt, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
