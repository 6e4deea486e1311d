"""Workflows as steps of a program: tools on workflow JSON and on pictures."""
