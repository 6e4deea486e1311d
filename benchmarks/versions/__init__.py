"""Comparison of two ComfyUIs, as far as this project relies on them."""
