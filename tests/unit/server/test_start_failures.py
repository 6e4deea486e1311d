"""The likely cause of a failed start, read from exit and log."""

from __future__ import annotations

import pytest

from discomfort.server.start_failures import Cause, likely_cause


@pytest.mark.parametrize(
    ("line", "cause", "remedy"),
    [
        (
            "OSError: [Errno 98] error while attempting to bind on address ('127.0.0.1', 8188): address already in use",
            "took its port",
            "INITIAL_PORT",
        ),
        (
            "[ERROR] Port 8188 is already in use on address 127.0.0.1. Please close the other application or use …",
            "took its port",
            "INITIAL_PORT",
        ),
        ("[ERROR] ASSETS_STARTUP_FAILED: in_use", "cannot use its database (in_use)", "--database-url"),
        ("main.py: error: unrecognized arguments: --normalvram", "--normalvram)", "SERVER_ARGUMENTS"),
        ("ModuleNotFoundError: No module named 'torch'", "lacks the module 'torch'", "py3 -m pip install"),
        ("/usr/bin/python3: No module named discomfort", "lacks 'discomfort'", "API_COMMAND_LINE"),
        ("ModuleNotFoundError: No module named 'comfyui_emulator'", "lacks 'comfyui_emulator'", "API_COMMAND_LINE"),
        ("AssertionError: Torch not compiled with CUDA enabled", "no usable GPU", "Set SERVER_ARGUMENTS to --cpu"),
        ("RuntimeError: Found no NVIDIA driver on your system.", "no usable GPU", "--cpu"),
        ("main.py: error: unrecognized arguments: --turbo", "(unrecognized arguments: --turbo)", "API_COMMAND_LINE"),
        ("main.py: error: argument --port: invalid int value: 'x'", "argument --port", "API_COMMAND_LINE"),
        ("python: can't open file '/a/main.py': [Errno 2] No such file", "there is no /a/main.py", "API_WORKING"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/b/custom_nodes'", "'/b/custom_nodes'", "Create"),
        ("OSError: [Errno 28] No space left on device", "the disk is full", "Free"),
        ("OSError: [Errno 28] No space left on device: '/t/x.png'", "the disk with '/t/x.png' is full", "Free"),
        ("PermissionError: [Errno 13] Permission denied: '/c'", "no permission to use '/c'", "permissions"),
        ("OSError: [Errno 30] Read-only file system: '/d'", "read-only", ""),
        ("MemoryError", "ran out of memory", ""),
    ],
)
def test_known_causes(line: str, cause: str, remedy: str) -> None:
    """Each is recognised between other lines, with what it names and what helps."""
    found = likely_cause(["Total VRAM", line, "bye"], code=1, program="py3")

    assert cause in found.text
    assert remedy in found.remedy
    assert bool(found.remedy) == bool(remedy)


def test_the_last_one_counts() -> None:
    """A custom node that lacks a module is survived; what came after is what ended the server."""
    lines = ["No module named 'toy'", "IMPORT FAILED", "[Errno 98] address already in use"]

    assert "port" in likely_cause(lines, code=1).text
    assert "'toy'" in likely_cause(lines[::-1], code=1).text


def test_what_a_library_does_without_is_no_cause() -> None:
    """ComfyUI 0.33.0 says so at each start, on its way."""
    line = "[INFO] No OpenGL_accelerate module loaded: No module named 'OpenGL_accelerate'"
    assert likely_cause([line], code=3) == Cause("")


def test_exit_alone() -> None:
    """Without a telling line the exit itself may tell something, or nothing."""
    assert "memory" in likely_cause([], signal="SIGKILL").text
    assert "command line" in likely_cause(["usage: main.py"], code=2).text
    assert "could not be run" in likely_cause([], code=127).text
    assert likely_cause(["bye {x}"], code=1) == Cause("")
