"""What becomes of a prompt: validation, queue, graph, cache, the calls of nodes, history."""
