"""The script of Plotly, which draws the figures of a page; the only module that imports plotly."""

from functools import cache

from sweep.surroundings import of_an_extra


@cache
def plotly_script() -> str:
    """The text of plotly.js, from the wheel of plotly: 5 MB, with its MIT licence in the first lines.

    Raises
    ------
    ImportError
        Saying what to install, without it.
    """
    with of_an_extra("pages need"):
        from plotly import offline
    return str(offline.get_plotlyjs())
