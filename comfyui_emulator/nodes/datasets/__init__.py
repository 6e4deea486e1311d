"""Nodes for lists of pictures, videos and texts, such as models are trained with."""
