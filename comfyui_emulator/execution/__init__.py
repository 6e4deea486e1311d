"""Executes prompts: validation, queue, graph, cache, calls of nodes, history."""
