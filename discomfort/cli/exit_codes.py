"""The exit codes of the command line."""

OK, FAILED, USAGE = 0, 1, 2
"""All well; a run failed or was interrupted; the command line, the configuration or a file is wrong."""
