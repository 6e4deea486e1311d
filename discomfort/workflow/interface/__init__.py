"""The interface of a workflow: what it takes and gives, by name."""
