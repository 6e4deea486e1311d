"""What a sampler is given: noise levels, noise, samplers by name."""
