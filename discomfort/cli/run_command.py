"""``discomfort run``: its runs one after the other, or on a pool."""

from __future__ import annotations

from discomfort.cli.run import RunBatch, RunOptions
from discomfort.cli.terminal import Terminal


def run_command(options: RunOptions, terminal: Terminal) -> int:
    """Do all runs, one after the other or on a pool, and return the exit code."""
    if options.pool is None:
        batch = RunBatch(options, terminal)
    else:
        from discomfort.cli.pool_batch import PoolBatch

        batch = PoolBatch(options, options.pool, terminal)
    code = batch.execute()
    batch.conclude()
    if options.json and not options.lines:
        terminal.write_documents([result.as_json() for result in batch.results])
    return code
