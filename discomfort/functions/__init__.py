"""Saved workflows as typed functions: values in by name, outputs back as typed objects."""
