"""The shipped configs, as installed: ``importlib.resources.files("sweep.configs")``; no code."""
