"""The documented import path of the conformance suite, which is the package ``comfyui_conformance``."""

from comfyui_conformance import Check, Difference, Report, Result, Rules, Status, all_checks, run_checks

__all__ = ["Check", "Difference", "Report", "Result", "Rules", "Status", "all_checks", "run_checks"]
