"""What a config takes from other files: named priors and correlations, and samples of a CSV or NetCDF file.

``doubling_rate = "priors.realised"`` under [distributions] stands for the table [distributions.realised] of the file
priors.toml beside the config, and ``correlations = ["priors.exponent_and_floor"]`` under [draws] for its table
[correlations.exponent_and_floor].
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.config import samples
from sweep.config.files import read_toml
from sweep.errors import SpecError, short, unknown


def included(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Put what other files hold in the place of their names.

    Parameters
    ----------
    content : mapping
        Of a config, as TOML gives it.
    folder : Path
        Of the config, in which other files are looked for.

    Raises
    ------
    SpecError
        One line that names the key: a file that cannot be read, a prior or column that it does not have.
    """
    complete = dict(content)
    distributions = complete.get("distributions")
    if isinstance(distributions, dict):
        complete["distributions"] = {
            name: _sampled(name, _named("distributions", f"distributions.{name}", table, folder), folder)
            for name, table in distributions.items()
        }
    draws = complete.get("draws")
    if isinstance(draws, dict) and isinstance(draws.get("correlations"), list):
        pairs = [_named("correlations", "draws.correlations", pair, folder) for pair in draws["correlations"]]
        complete["draws"] = {**draws, "correlations": pairs}
    return complete


def _named(kind: str, key: str, value: Any, folder: Path) -> Any:
    """Give the table that a name such as "priors.realised" stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    file, _, name = value.partition(".")
    path = folder / f"{file}.toml"
    try:
        tables = read_toml(path).get(kind, {})
    except OSError as error:
        raise SpecError(
            f'{key}: must be a table or a name such as "priors.realised", got {short(value)}: {path}: {error.strerror}'
        ) from None
    except ValueError as error:
        raise SpecError(f"{key}: {path}: {error}") from None
    if not isinstance(tables, dict):
        raise SpecError(f"{key}: {path}: {kind} must be tables such as [{kind}.realised], got {short(tables)}")
    if name not in tables:
        raise SpecError(f"{key}: {unknown(f'name in {path.name}', name, tables)}")
    return tables[name]


def _sampled(name: str, table: Any, folder: Path) -> Any:
    """Give the table of an empirical distribution the values of the column it names."""
    if not isinstance(table, dict) or "file" not in table:
        return table
    rest = {key: value for key, value in table.items() if key not in ("file", "column")}
    file, column, key = table["file"], table.get("column"), f"distributions.{name}"
    if rest.get("distribution") != "empirical" or "values" in rest:
        raise SpecError(f'{key}.file: belongs to distribution = "empirical" without values; drop it')
    if not isinstance(file, str) or not isinstance(column, str):
        raise SpecError(f"{key}: file and column must both be strings, got file={file!r}, column={column!r}")
    path = folder / file
    try:
        values = samples.column(path, column)
    except OSError as error:
        raise SpecError(f"{key}.file: {path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise SpecError(f"{key}: {path}: {error}") from None
    return {**rest, "values": values, "source": rest.get("source") or f"{file}, {column}"}
