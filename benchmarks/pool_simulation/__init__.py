"""A simulation of a pool of a thousand servers: the pool's scheduler and others on the same runs."""
