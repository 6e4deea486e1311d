"""Drives ComfyUI from Python: starts it, converts workflows with the real frontend, runs them, returns every output."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from discomfort._version import __version__

if TYPE_CHECKING:
    from discomfort.client.artifact import Artifact
    from discomfort.client.outputs import Output
    from discomfort.connector import ComfyConnector
    from discomfort.connector.file_upload import Upload
    from discomfort.connector.health import HealthReport
    from discomfort.connector.run_handle import Run
    from discomfort.connector.run_result import RunResult
    from discomfort.connector.run_status import RunStatus
    from discomfort.connector.server_queue import ServerQueue
    from discomfort.context.arrays import RawTensor
    from discomfort.context.context import WorkflowContext
    from discomfort.context.file_values import FileValue
    from discomfort.context.trees import NodeList
    from discomfort.exceptions import (
        ArgumentError,
        ArgumentProblem,
        BrokenLinksError,
        BrowserError,
        CallError,
        ConfigurationError,
        ConsentError,
        ConversionError,
        ConversionTimeout,
        DamagedDataError,
        DamagedDownloadError,
        DiscomfortError,
        DiskFullError,
        DownloadError,
        DownloadRefusedError,
        DownloadStalledError,
        ExecutionError,
        ExecutionInterrupted,
        FatalPromptError,
        FileConflictError,
        FolderInUseError,
        GraphProblem,
        InputProblem,
        InputSelectorError,
        MissingFrontendError,
        MissingNode,
        MissingNodesError,
        NodeFailure,
        NoServerFits,
        OutOfMemoryError,
        PackInstallError,
        PaidNode,
        PaidNodesError,
        PayloadError,
        PoolBusy,
        PoolError,
        PortError,
        PromptLostError,
        ProvideError,
        RestartLimitError,
        ResultLostError,
        RunError,
        RunLostError,
        RunTimeout,
        SelfTestError,
        ServerConnectionError,
        ServerDiedError,
        ServerError,
        ServerResponseError,
        ServerStartError,
        ServerStartTimeout,
        StateError,
        StorageFullError,
        SweepError,
        UnknownPortError,
        UnsafePromptError,
        UnsupportedValueError,
        UploadError,
        ValidationError,
        WorkflowCycleError,
        WorkflowPlace,
    )
    from discomfort.functions.call_result import CallResult
    from discomfort.functions.sync_function import SyncFunction
    from discomfort.functions.workflow_function import CallRun, WorkflowFunction
    from discomfort.history import History, HistoryRecord, HistoryStatus
    from discomfort.orchestration.orchestrator import Discomfort
    from discomfort.orchestration.results import Results
    from discomfort.orchestration.sync_orchestrator import SyncDiscomfort
    from discomfort.planning.workflow_plan import WorkflowPlan
    from discomfort.pool.pool import ComfyPool
    from discomfort.pool.pool_arguments import PoolOptions
    from discomfort.pool.pool_events import Assigned, Loading, Stalled, Waiting
    from discomfort.pool.pool_result import PoolResult
    from discomfort.pool.pool_run import PoolRun
    from discomfort.pool.pool_status import PoolStatus
    from discomfort.pool.ray_options import RayOptions
    from discomfort.pool.retry import Retry
    from discomfort.pool.shared_pool import SharedPool, SharedRun
    from discomfort.pool.sync_pool import SyncPool
    from discomfort.pool.sync_pool_run import SyncPoolResult, SyncPoolRun
    from discomfort.progress import WorkflowProgress
    from discomfort.provision.proposal import Proposal
    from discomfort.provision.provide_progress import ProvideProgress
    from discomfort.provision.provide_report import ProvideReport
    from discomfort.sweeps import LiveTable, Sweep, SweepProgress, SweepReport, SweepResult, SyncSweep
    from discomfort.sync import SyncConnector
    from discomfort.sync_run import SyncOutput, SyncRun, SyncRunResult
    from discomfort.workflow.edit import Editor
    from discomfort.workflow.references import Reference
    from discomfort.workflow_tools import WorkflowTools

# Resolved at first use: the emulator starts from this package and must not wait for all of it to be imported.
_HOMES = {
    "Artifact": "discomfort.client.artifact",
    "Assigned": "discomfort.pool.pool_events",
    "CallResult": "discomfort.functions.call_result",
    "CallRun": "discomfort.functions.workflow_function",
    "ComfyConnector": "discomfort.connector",
    "ComfyPool": "discomfort.pool.pool",
    "Discomfort": "discomfort.orchestration.orchestrator",
    "Editor": "discomfort.workflow.edit",
    "FileValue": "discomfort.context.file_values",
    "HealthReport": "discomfort.connector.health",
    "History": "discomfort.history",
    "HistoryRecord": "discomfort.history",
    "HistoryStatus": "discomfort.history",
    "LiveTable": "discomfort.sweeps",
    "Loading": "discomfort.pool.pool_events",
    "NodeList": "discomfort.context.trees",
    "Output": "discomfort.client.outputs",
    "PoolOptions": "discomfort.pool.pool_arguments",
    "PoolResult": "discomfort.pool.pool_result",
    "PoolRun": "discomfort.pool.pool_run",
    "PoolStatus": "discomfort.pool.pool_status",
    "Proposal": "discomfort.provision.proposal",
    "ProvideProgress": "discomfort.provision.provide_progress",
    "ProvideReport": "discomfort.provision.provide_report",
    "RawTensor": "discomfort.context.arrays",
    "RayOptions": "discomfort.pool.ray_options",
    "Reference": "discomfort.workflow.references",
    "Results": "discomfort.orchestration.results",
    "Retry": "discomfort.pool.retry",
    "Run": "discomfort.connector.run_handle",
    "RunResult": "discomfort.connector.run_result",
    "RunStatus": "discomfort.connector.run_status",
    "ServerQueue": "discomfort.connector.server_queue",
    "SharedPool": "discomfort.pool.shared_pool",
    "SharedRun": "discomfort.pool.shared_pool",
    "Stalled": "discomfort.pool.pool_events",
    "Sweep": "discomfort.sweeps",
    "SweepProgress": "discomfort.sweeps",
    "SweepReport": "discomfort.sweeps",
    "SweepResult": "discomfort.sweeps",
    "SyncConnector": "discomfort.sync",
    "SyncDiscomfort": "discomfort.orchestration.sync_orchestrator",
    "SyncFunction": "discomfort.functions.sync_function",
    "SyncOutput": "discomfort.sync_run",
    "SyncPool": "discomfort.pool.sync_pool",
    "SyncPoolResult": "discomfort.pool.sync_pool_run",
    "SyncPoolRun": "discomfort.pool.sync_pool_run",
    "SyncRun": "discomfort.sync_run",
    "SyncRunResult": "discomfort.sync_run",
    "SyncSweep": "discomfort.sweeps",
    "Upload": "discomfort.connector.file_upload",
    "Waiting": "discomfort.pool.pool_events",
    "WorkflowContext": "discomfort.context.context",
    "WorkflowFunction": "discomfort.functions.workflow_function",
    "WorkflowPlan": "discomfort.planning.workflow_plan",
    "WorkflowProgress": "discomfort.progress",
    "WorkflowTools": "discomfort.workflow_tools",
}

__all__ = [
    "ArgumentError",
    "ArgumentProblem",
    "Artifact",
    "Assigned",
    "BrokenLinksError",
    "BrowserError",
    "CallError",
    "CallResult",
    "CallRun",
    "ComfyConnector",
    "ComfyPool",
    "ConfigurationError",
    "ConsentError",
    "ConversionError",
    "ConversionTimeout",
    "DamagedDataError",
    "DamagedDownloadError",
    "Discomfort",
    "DiscomfortError",
    "DiskFullError",
    "DownloadError",
    "DownloadRefusedError",
    "DownloadStalledError",
    "Editor",
    "ExecutionError",
    "ExecutionInterrupted",
    "FatalPromptError",
    "FileConflictError",
    "FileValue",
    "FolderInUseError",
    "GraphProblem",
    "HealthReport",
    "History",
    "HistoryRecord",
    "HistoryStatus",
    "InputProblem",
    "InputSelectorError",
    "LiveTable",
    "Loading",
    "MissingFrontendError",
    "MissingNode",
    "MissingNodesError",
    "NoServerFits",
    "NodeFailure",
    "NodeList",
    "OutOfMemoryError",
    "Output",
    "PackInstallError",
    "PaidNode",
    "PaidNodesError",
    "PayloadError",
    "PoolBusy",
    "PoolError",
    "PoolOptions",
    "PoolResult",
    "PoolRun",
    "PoolStatus",
    "PortError",
    "PromptLostError",
    "Proposal",
    "ProvideError",
    "ProvideProgress",
    "ProvideReport",
    "RawTensor",
    "RayOptions",
    "Reference",
    "RestartLimitError",
    "ResultLostError",
    "Results",
    "Retry",
    "Run",
    "RunError",
    "RunLostError",
    "RunResult",
    "RunStatus",
    "RunTimeout",
    "SelfTestError",
    "ServerConnectionError",
    "ServerDiedError",
    "ServerError",
    "ServerQueue",
    "ServerResponseError",
    "ServerStartError",
    "ServerStartTimeout",
    "SharedPool",
    "SharedRun",
    "Stalled",
    "StateError",
    "StorageFullError",
    "Sweep",
    "SweepError",
    "SweepProgress",
    "SweepReport",
    "SweepResult",
    "SyncConnector",
    "SyncDiscomfort",
    "SyncFunction",
    "SyncOutput",
    "SyncPool",
    "SyncPoolResult",
    "SyncPoolRun",
    "SyncRun",
    "SyncRunResult",
    "SyncSweep",
    "UnknownPortError",
    "UnsafePromptError",
    "UnsupportedValueError",
    "Upload",
    "UploadError",
    "ValidationError",
    "Waiting",
    "WorkflowContext",
    "WorkflowCycleError",
    "WorkflowFunction",
    "WorkflowPlace",
    "WorkflowPlan",
    "WorkflowProgress",
    "WorkflowTools",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "discomfort.exceptions")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
