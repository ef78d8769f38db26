"""Stands in: the far side of the drivers' bytes, pixels and sound. Everything here is simulated."""
