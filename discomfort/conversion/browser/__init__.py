"""Chromium, and the frontend's pages in it."""
