"""Checks whether a server behaves like ComfyUI, using only its URL.

Each check covers one fact of ComfyUI's interface: routes, status codes, bodies, validation errors, queue, interrupts,
jobs, history, files, socket messages. It knows the releases from 0.3.64 to 0.33.0 in which the fact holds, and applies
only to those. ``discomfort conformance --against URL`` runs the checks from a shell, :func:`run_checks` from a
program::

    report = await run_checks("http://127.0.0.1:8188")
    for result in report.of("differs"):
        print(result.check.name, *result.differences, sep="\\n  ")

The checks only touch their own prompts and files; the names of the files begin with ``discomfort-conformance``. Checks
that would affect other users (clearing the queue or the history, interrupting any running prompt) are skipped without
``exclusive``. A server cannot delete files on request, so two small pictures stay in its input and output folders;
prompts, records, user data and temporary files are removed.
"""

from __future__ import annotations

from comfyui_conformance.changes import Rules
from comfyui_conformance.model import Check, Difference, Report, Result, Status, all_checks
from comfyui_conformance.runner import run_checks

__all__ = ["Check", "Difference", "Report", "Result", "Rules", "Status", "all_checks", "run_checks"]
