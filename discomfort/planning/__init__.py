"""The plan of a workflow: what it needs before it can run, and whether it is there."""
