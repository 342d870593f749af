"""Figures for papers: what `mapc.visual.figure` describes, drawn by matplotlib.

PDF, PNG and SVG from the same columns and the same colours as the reports. Nothing global is
touched: no pyplot, and the settings of the style hold only while something is drawn. Equal
figures give equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mapc.errors import InstanceError, UnavailableError, UsageError
from mapc.files import write_whole
from mapc.markup import clean
from mapc.visual import timeline
from mapc.visual.figure import Figure, Rects
from mapc.visual.pictures import figures
from mapc.visual.plots_layout import height_around
from mapc.visual.plots_style import SETTINGS
from mapc.visual.view import View
from mapc.visual.words import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SUFFIXES: Final = (".pdf", ".png", ".svg")
"""Kinds of files."""

WIDTH: Final = 7.0
"""Inches, of a figure over both columns of most papers; 3.4 is one column."""

DPI: Final = 300
"""Pixels per inch of a PNG."""

MAX_INCHES: Final = 100.0
MAX_PIXELS: Final = 100_000_000
"""Of a PNG: 400 MB while it is drawn."""

_LEAST_AXES = 1.1  # inches
_BESIDE = 0.9
_PIXELS = 960.0
_ATTEMPTED = "drawing needs matplotlib: pip install 'mapc[plots]'"


def require() -> None:
    """Refuse to go on without matplotlib.

    Raises
    ------
    UnavailableError
    """
    if find_spec("matplotlib") is None:
        raise UnavailableError(_ATTEMPTED)


def there(view: View) -> tuple[Figure, ...]:
    """Return the figures of a plan: the family's, and the course of the run where it is known.

    Raises
    ------
    InstanceError
        Without a plan.
    """
    if view.plan is None:
        raise InstanceError("no plan to draw", clean(view.label), "a run that found one")
    course = timeline.figure([view])
    return figures(view) if course is None else (*figures(view), course)


def choose(found: Sequence[Figure], key: str | None = None) -> Figure:
    """Return the figure with a key, or without one the first.

    Raises
    ------
    UsageError
        If there is none, with the keys there are.
    """
    if key is None and found:
        return found[0]
    for figure in found:
        if figure.key == key:
            return figure
    names = ", ".join(figure.key for figure in found) or "no figure at all"
    raise UsageError(f"figure {clean(key, 40)!r}: not there; expected {names}")


def plot(view: View, path: str | Path, figure: str | None = None, **options: Any) -> Figure:
    """Draw one figure of a plan into a file: that of a key, or the family's first.

    Parameters
    ----------
    view : View
    path : path
    figure : str, optional
        Key.
    **options
        Those of `save`.

    Returns
    -------
    Figure
        What was drawn: its title, summary and note make a caption.

    Raises
    ------
    InstanceError
        Without a plan.
    UsageError, UnavailableError
        As `choose` and `save` do.
    """
    chosen = choose(there(view), figure)
    save(chosen, path, **options)
    return chosen


def save(
    figure: Figure,
    path: str | Path,
    *,
    width: float = WIDTH,
    height: float | None = None,
    dpi: float = DPI,
    title: bool = True,
) -> None:
    """Write a figure, whole or not at all; the suffix says how.

    Parameters
    ----------
    figure : Figure
    path : path
        Ends in ``.pdf``, ``.png`` or ``.svg``.
    width, height, title
        As for `draw`.
    dpi : float
        Pixels per inch of a PNG.

    Raises
    ------
    UsageError
        For another suffix, sizes that are none or leave no room for the axes, and a file that
        cannot be written.
    UnavailableError
        Without matplotlib.
    """
    kind = kind_of(path)
    write_whole(path, rendered(figure, kind, width=width, height=height, dpi=dpi, title=title))


def kind_of(path: str | Path) -> str:
    """Return ``"pdf"``, ``"png"`` or ``"svg"``.

    Raises
    ------
    UsageError
        For a path that ends in none of them.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: unknown kind of file; expected {' or '.join(SUFFIXES)}")
    return suffix[1:]


def rendered(
    figure: Figure,
    kind: str,
    *,
    width: float = WIDTH,
    height: float | None = None,
    dpi: float = DPI,
    title: bool = True,
) -> bytes:
    """Return the bytes of a figure as ``"pdf"``, ``"png"`` or ``"svg"``; equal ones every time.

    Raises
    ------
    UsageError, UnavailableError
        As in `save`.
    """
    check_size(width, height, None)
    size = _inches(figure, width, height, title)
    check_size(*size, dpi if kind == "png" else None)
    require()
    buffer = io.BytesIO()
    with _style():
        drawing = _drawn(figure, size, title)
        try:
            drawing.savefig(buffer, format=kind, dpi=dpi, metadata=_metadata(figure, kind))
        except UserWarning as warning:  # the only one that `_style` makes an error
            raise _no_room(figure, width, height, title) from warning
    return buffer.getvalue()


def _no_room(figure: Figure, width: float, height: float | None, title: bool) -> UsageError:
    """Return what is wrong with a size that leaves nothing for the axes."""
    usual = math.ceil(10 * _inches(figure, width, None, title)[1]) / 10
    if height is not None and height < usual:
        return UsageError(f"height {height:g}: no room for the axes; expected about {usual:g}")
    return UsageError(f"width {width:g}: no room for the axes; expected more inches")


def draw(
    figure: Figure, *, width: float = WIDTH, height: float | None = None, title: bool = True
) -> Drawing:
    """Return a figure as matplotlib has it, to go on with; its canvas is Agg's.

    Parameters
    ----------
    figure : Figure
    width : float
        Inches.
    height : float, optional
        Inches; by default the axes are as high for their width as in a report, 1.1 at least, and
        what is above and below them comes on top.
    title : bool
        False leaves the title to the caption.

    Raises
    ------
    UsageError
        For sizes that are none.
    UnavailableError
        Without matplotlib.

    Notes
    -----
    Every mark is one artist of ``axes[0]`` whose ``gid`` is ``mark-0``, ``mark-1``, ... in the
    order of ``figure.marks``, and whose numbers are those of the mark.
    """
    check_size(width, height, None)
    size = _inches(figure, width, height, title)
    require()
    with _style():
        return _drawn(figure, size, title)


def _drawn(figure: Figure, size: tuple[float, float], title: bool) -> Drawing:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    from mapc.visual.plots_axes import frame, legend, scale_bar
    from mapc.visual.plots_marks import add_marks

    figure = _scaled(figure)
    drawing = Drawing(figsize=size, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    frame(axes, figure, size, title)
    handles = add_marks(axes, figure, size)
    legend(drawing, handles, size[0])
    scale_bar(drawing, axes, figure)
    return drawing


def _scaled(figure: Figure) -> Figure:
    """Return the figure with a scale, if it has colours that need one and lacks it."""
    if figure.scale is not None:
        return figure
    from mapc.visual.plots_marks import scale_of

    heat = [m for m in figure.marks if isinstance(m, Rects) and m.role == "heat"]
    return replace(figure, scale=scale_of(heat)) if heat else figure


def _inches(figure: Figure, width: float, height: float | None, title: bool) -> tuple[float, float]:
    """Return width and height; by default the axes are as high for the width as in a report."""
    if height is None:
        axes = max(_LEAST_AXES, (width - _BESIDE) * figure.height / _PIXELS)
        height = min(MAX_INCHES, axes + height_around(figure, width, title))
    return float(width), float(height)


def check_size(width: float, height: float | None, dpi: float | None) -> None:
    """Refuse inches, and pixels per inch of a PNG, that make no picture.

    Raises
    ------
    UsageError
    """
    for name, value in (("width", width), ("height", height)):
        if value is not None and not 0.5 <= value <= MAX_INCHES:
            raise UsageError(f"{name} {value:g}: expected inches, 0.5 to {MAX_INCHES:g}")
    if dpi is None:
        return
    if not 10 <= dpi <= 10_000:
        raise UsageError(f"dpi {dpi:g}: expected pixels per inch, 10 to 10000")
    pixels = math.ceil(width * dpi) * math.ceil((height or 0.0) * dpi)
    if pixels > MAX_PIXELS or max(width, height or 0.0) * dpi >= 2**16:
        raise UsageError(f"dpi {dpi:g}: too many pixels; expected {MAX_PIXELS:,} at most")


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Hold the settings of the style, whatever the user's own are, and no others afterwards."""
    import matplotlib

    own = {
        key: value
        for key, value in matplotlib.rcParamsDefault.items()
        if not key.startswith(("backend", "interactive", "toolbar", "timezone", "webagg"))
    }
    with warnings.catch_warnings(), matplotlib.rc_context({**own, **SETTINGS}):
        # names are of any script; what the font lacks is drawn as a box, and is no news
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # what is around the axes would lie on them
        warnings.filterwarnings("error", message="constrained_layout not applied")
        yield


def _metadata(figure: Figure, kind: str) -> dict[str, Any]:
    """Return title and summary as the format has them, and neither dates nor producers."""
    title = clean(figure.title)
    about = clean(sentences(figure.summary, figure.note), 2000)
    if kind == "pdf":
        none = dict.fromkeys(("Creator", "Producer", "CreationDate"))
        return {"Title": title, "Subject": about, **none}
    if kind == "svg":
        return {"Title": title, "Description": about, "Date": None, "Creator": None}
    return {"Title": title, "Description": about, "Software": None}
