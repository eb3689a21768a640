"""The packages: every room, and the configs, which stand at the top of the repository and are installed in sweep."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["kernels*", "sweep*"]), "sweep.configs"],
    package_dir={"sweep.configs": "configs"},
)
