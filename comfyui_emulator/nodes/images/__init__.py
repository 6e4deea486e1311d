"""Nodes for images and masks: loading, saving, scaling, filtering, compositing."""
