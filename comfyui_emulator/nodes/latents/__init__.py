"""Latents: made, changed, saved, as far as no model is asked."""
