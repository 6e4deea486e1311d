"""What a workflow needs before it can run, and whether it is there."""
