"""The relative-loss equation, its inverses, and the same on a grid in two stages (kernels/README.md, 1 and 2)."""
