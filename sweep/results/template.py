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
Shape = tuple[int, ...]


def write_template(path: Path, problem: Problem, plans: Sequence[Plan], device: str) -> None:
    """Write the metadata of all arrays and the values of the coordinates into a folder that is not there yet."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=_described(problem, plans, device))

    def create(name: str, dims: tuple[str, ...], shape: Shape, dtype: str, shards: Shape, chunks: Shape) -> None:
        group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            shards=shards,
            chunks=chunks,
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()],
            fill_value=math.nan,
            dimension_names=dims,
            attributes=variable_attributes(problem, name),
        )

    axes = result_axes(problem)
    for name, axis in axes.items():
        side = (min(len(axis), COORDINATE_CHUNK),)
        create(name, (name,), (len(axis),), "float64", side, side)
    for plan in plans:
        for name, dims in plan.variables.items():
            shard, chunk = plan.along(name, plan.block_shape), plan.along(name, plan.chunk_shape)
            create(name, dims, plan.lengths(name), result_dtype(problem.spec, name), shard, chunk)
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
