"""Readers of raw items: one cell of a column, in any of its forms, as an array or a text.

Nothing here is public: `__all__` is empty.
"""

from ._containers import (
    UnknownFormatError,
    check_end,
    check_nothing_follows,
    find_end,
    find_pictures,
    make_joined_error,
    open_container,
    read_packets,
)
from ._files import (
    ENCODED_TYPES,
    URL,
    BrokenItemError,
    expand_home,
    open_encoded,
    unwrap,
    unwrap_cells,
)
from ._images import (
    check_background,
    check_image,
    check_not_one_image,
    quiet_pillow,
    read_image,
)
from ._sounds import (
    check_not_one_sound,
    check_sound,
    estimate_samples,
    read_sound,
    read_windows,
)
from ._texts import check_text

__all__: list[str] = []
