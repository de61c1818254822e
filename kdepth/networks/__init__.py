"""Layers and blocks that two or more papers share, or that Keras lacks."""
