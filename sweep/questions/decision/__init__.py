"""Decisions of any model: the best point between the ends of axes, for every scenario of the others."""
