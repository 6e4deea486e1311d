"""Sweeps: one workflow with many values, whose results a folder keeps."""

from discomfort.sweeps.live_table import LiveTable
from discomfort.sweeps.sweep import Sweep
from discomfort.sweeps.sweep_results import SweepProgress, SweepReport, SweepResult
from discomfort.sweeps.sync_sweep import SyncSweep

__all__ = ["LiveTable", "Sweep", "SweepProgress", "SweepReport", "SweepResult", "SyncSweep"]
