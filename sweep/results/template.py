"""A store without values: the metadata of its arrays, and its coordinates."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.config.axis import Axis
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan
from sweep.plan.variables import result_axes, result_dtype
from sweep.results.faults import coordinates
from sweep.results.manifest import CHECKSUMS, Shards, digest, shards_of
from sweep.results.metadata import dataset_attributes, variable_attributes
from sweep.results.shard_writer import Encoder

COORDINATE_CHUNK = 2**20


def write_template(path: Path, problem: Problem, plans: Sequence[Plan], device: str) -> None:
    """Write the metadata of all arrays and the values of the coordinates into a folder that is not there yet."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=_described(problem, plans, device))
    encoded = {
        "compressors": [zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), zarr.codecs.Crc32cCodec()],
        "fill_value": math.nan,
    }
    axes = result_axes(problem)
    for name, axis in axes.items():
        side = (min(len(axis), COORDINATE_CHUNK),)
        group.create_array(
            name,
            shape=(len(axis),),
            dtype="float64",
            shards=side,
            chunks=side,
            dimension_names=(name,),
            attributes=variable_attributes(problem, name),
            **encoded,
        )
    for plan in plans:
        for name, dims in plan.variables.items():
            group.create_array(
                name,
                shape=plan.lengths(name),
                dtype=result_dtype(problem.spec, name),
                shards=plan.along(name, plan.block_shape),
                chunks=plan.along(name, plan.chunk_shape),
                dimension_names=dims,
                attributes=variable_attributes(problem, name),
                **encoded,
            )
    with warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 specification yet; xarray wants it, other readers ignore it.
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
        zarr.consolidate_metadata(path)
    shards = shards_of(path)
    for name, axis in axes.items():
        _write_coordinates(axis, shards[name])


def _write_coordinates(axis: Axis, shards: Shards) -> None:
    """Write all shards of a coordinate."""
    encoder = Encoder(shards)
    for position in shards.positions():
        encoder.write(position, coordinates(axis, shards, position))


def _described(problem: Problem, plans: Sequence[Plan], device: str) -> dict[str, Any]:
    """Attributes of the group, how it is cut among them, and their digest."""
    described = {**dataset_attributes(problem, device), "complete": False}
    cuts = [{"blocks": list(plan.block_shape), "chunks": list(plan.chunk_shape)} for plan in plans]
    if problem.spec.statistics:
        described["passes"] = [
            {"axes": list(plan.shape), "variables": list(plan.variables)} | cut
            for plan, cut in zip(plans, cuts, strict=True)
        ]
    else:
        described |= cuts[0]
    described[CHECKSUMS] = digest(described)
    return described
