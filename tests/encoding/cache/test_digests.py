"""What makes two items the same: digests of their content."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from skmm.encoding.cache import digest_item

GREY = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))


def changed(image, *, palette=None, orientation=None, **info):
    image = image.copy()
    if palette is not None:
        image.putpalette(palette)
    if orientation is not None:
        image.getexif()[0x0112] = orientation
    image.info.update(info)
    return image


PALETTE = GREY.convert("P")

# Each differs from each other in one thing, however small.
DIFFERENT = {
    "text": "abc",
    "its bytes": b"abc",
    "upper case": "Abc",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "lone surrogate": "\ud800",
    "another lone surrogate": "\ud801",
    "question mark": "?",
    "empty text": "",
    "no bytes": b"",
    "None": None,
    "its name": "None",
    "False": False,
    "zero": 0,
    "float zero": 0.0,
    "array": np.arange(6.0),
    "float32": np.arange(6.0, dtype=np.float32),
    "big endian": np.arange(6.0, dtype=">f8"),
    "row": np.arange(6.0).reshape(1, 6),
    "two rows": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "reversed": np.arange(6.0)[::-1],
    "no samples": np.zeros((0, 2)),
    "no features": np.zeros((2, 0)),
    "scalar array": np.array(0.0),
    "sound": (np.arange(6.0), 16_000),
    "at another rate": (np.arange(6.0), 8_000),
    "as a list": [np.arange(6.0), 16_000],
    "as a dict": {"array": np.arange(6.0), "sampling_rate": 16_000},
    "other names": {"array": 16_000, "sampling_rate": np.arange(6.0)},
    "empty tuple": (),
    "empty list": [],
    "empty dict": {},
    "nested": ("a", ("b", "c")),
    "nested elsewhere": (("a", "b"), "c"),
    "flat": ("a", "b", "c"),
    "joined": ("ab", "c"),
    "image": GREY,
    "its pixels": np.asarray(GREY),
    "its pixels' bytes": GREY.tobytes(),
    "another shape": Image.frombytes("L", (3, 4), GREY.tobytes()),
    "colour": GREY.convert("RGB"),
    "alpha": GREY.convert("LA"),
    "palette": PALETTE,
    "inverted palette": changed(PALETTE, palette=bytes(range(255, -1, -1)) * 3),
    "transparent colour": changed(PALETTE, transparency=0),
    "transparent colours": changed(PALETTE, transparency=b"\x00\x80"),
    "on its side": changed(GREY, orientation=6),
}


def test_no_two_items_look_alike():
    digests = {name: digest_item(item) for name, item in DIFFERENT.items()}
    assert all(type(digest) is bytes and len(digest) == 16 for digest in digests.values())
    alike = [(a, b) for a, b in combinations(digests, 2) if digests[a] == digests[b]]
    assert alike == []


@pytest.mark.parametrize(
    ("item", "same"),
    [
        ("abc", np.str_("abc")),
        (b"abc", bytearray(b"abc")),
        (b"abc", memoryview(b"a-b-c")[::2]),
        (np.arange(6), np.repeat(np.arange(6), 2)[::2]),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (np.arange(4).reshape(2, 2), np.matrix("0 1; 2 3")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (("a", np.int64(3), np.float64(0.5), np.bool_(True)), ("a", 3, 0.5, True)),
        (GREY, GREY.copy()),
        (GREY, changed(GREY, dpi=(300, 300), comment="not seen")),
        (GREY, changed(GREY, orientation=1)),
    ],
)
def test_equal_items_have_equal_digests(item, same):
    assert digest_item(item) == digest_item(same)


def test_digests_stay_the_same_from_version_to_version():
    """Or else nobody finds what is on disk."""
    assert digest_item("a text").hex() == "bbabfebc6b3011df8ca2bb8429a6eb14"
    sound = (np.arange(3, dtype="<i2"), 8000)
    assert digest_item(sound).hex() == "b90445c306ba83b670dc63d7489d7c28"


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (object(), "object"),
        ({1, 2}, "set"),
        (1j, "complex"),
        (len, "builtin_function_or_method"),
        (np.array(["a"]), r"ndarray of <U1"),
        (np.array([None]), "ndarray of object"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), r"ndarray of datetime64\[D\]"),
        (np.ma.masked_array([1, 2], [True, False]), r"MaskedArray of int\d+"),
        ((1, object()), "object"),
        ({"a": {2}}, "set"),
    ],
)
def test_what_cannot_be_digested(item, kind):
    with pytest.raises(TypeError, match=rf" got {kind}\."):
        digest_item(item)


def test_lazily_opened_image(tmp_path):
    GREY.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert digest_item(image) == digest_item(GREY)
