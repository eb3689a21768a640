"""Evaluation: the only room that compiles a sweep."""
