"""The equation with what stops growth, as a model."""
