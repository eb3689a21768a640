"""The metadata of a result: names, units and everything needed to know what was computed and how."""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sweep.model import Model
from sweep.spec import SweepSpec

LIBRARIES = ("relative-loss-sweep", "jax", "jaxlib", "numpy")


def dataset_attributes(model: Model, spec: SweepSpec, device: str) -> dict[str, Any]:
    """Attributes of the dataset: plain strings and numbers, the same for every run of one sweep on one machine."""
    attributes = {
        "Conventions": "CF-1.11",
        "title": spec.title or f"{model.name} sweep over {', '.join(spec.axes)}",
        "model": model.name,
        "equation": model.equation,
        "references": model.source,
        "assumptions": model.assumptions,
        "caveats": "; ".join(model.caveats(spec)) or "none",
        "fixed": "; ".join(
            f"{name} = {fixed.value:.10g} {model.parameter(name).unit}" + (f" ({fixed.source})" if fixed.source else "")
            for name, fixed in spec.fixed.items()
        ),
        "spec": json.dumps(spec.canonical()),
        "fingerprint": spec.fingerprint(),
        "dtype": spec.dtype,
        "device": device,
        **{f"version_{name.replace('-', '_')}": number for name, number in versions().items()},
    }
    if spec.loss is not None:
        attributes["loss"] = spec.loss
    return attributes


def variable_attributes(model: Model, spec: SweepSpec, name: str) -> dict[str, str]:
    """CF attributes of one output or coordinate."""
    if name not in spec.axes:
        output = model.output(name)
        return {"long_name": output.long_name, "units": output.unit}
    parameter, axis = model.parameter(name), spec.axes[name]
    attributes = {"long_name": parameter.long_name, "units": parameter.unit}
    attributes["spacing"] = (axis.spacing or "linear") if axis.values is None else "listed"
    if axis.source:
        attributes["source"] = axis.source
    return attributes


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the bits of a result."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
