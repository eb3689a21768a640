"""Whether the packages beside this one are its own: other distributions install the same top-level names."""

from importlib.util import find_spec


def refuse_other_kernels() -> None:
    """Refuse to go on where `kernels` is another project's, such as Hugging Face's; it is not imported for that.

    Raises
    ------
    ImportError
        One line, naming what is there and what to do.
    """
    try:
        spec = find_spec("kernels")
    except ValueError:  # a module without a spec, which ours has
        spec = None
    if spec is not None and spec.origin is not None:
        # Theirs replaces our file and leaves the others, so where it is says nothing.
        with open(spec.origin, "rb") as file:
            if b"kernels.loss" in file.read():
                return
    where = "none" if spec is None else spec.origin or ", ".join(spec.submodule_search_locations or ())
    raise ImportError(
        f"kernels: must be the package of relative-loss-sweep, got {where}: another distribution, such as Hugging "
        "Face's kernels, takes its name; install relative-loss-sweep in an environment of its own",
        name="kernels",
    )
