# type: ignore
"""Loads upscale.json as a function; made by ``discomfort stubs`` with upscale.pyi."""

import pathlib

from discomfort.functions.call_result import CallResult as UpscaleResult
from discomfort.functions.sync_function import SyncCallResult as SyncUpscaleResult
from discomfort.functions.sync_function import SyncCallRun as SyncUpscaleRun
from discomfort.functions.sync_function import SyncFunction as SyncUpscale
from discomfort.functions.workflow_function import CallRun as UpscaleRun
from discomfort.functions.workflow_function import WorkflowFunction as Upscale

__all__ = [
    "WORKFLOW",
    "SyncUpscale",
    "SyncUpscaleResult",
    "SyncUpscaleRun",
    "Upscale",
    "UpscaleResult",
    "UpscaleRun",
    "load",
]

WORKFLOW = (pathlib.Path(__file__).parent / '../../workflows/upscale.json').resolve()


def load(connector, workflow=WORKFLOW, interface=None):
    return connector.load(workflow, interface)
