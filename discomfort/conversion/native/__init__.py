"""Conversion without the browser, learnt from experiments in it."""
