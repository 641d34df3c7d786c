"""Layers: what surrounds a regression so that it can be trained, and the published ones."""
