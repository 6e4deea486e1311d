"""Entry point of ``python -m comfyui_emulator``: the server alone, with ComfyUI's command-line flags."""

from __future__ import annotations

import sys

from comfyui_emulator.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
