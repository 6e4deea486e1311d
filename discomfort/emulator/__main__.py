"""``python -m discomfort.emulator``: the server alone, with ComfyUI's command-line flags."""

from __future__ import annotations

import sys

from discomfort.emulator.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
