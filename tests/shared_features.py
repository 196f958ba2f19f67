"""Features of the shared data sets: quick, weight-free, and learned on training rows only."""

import io
import zipfile
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dct
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.preprocessing import OneHotEncoder

from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor


class DataSet(NamedTuple):
    """Blocks of features of the same rows."""

    blocks: dict[str, np.ndarray]
    y: np.ndarray
    train: np.ndarray  # boolean
    groups: np.ndarray | None = None

    def folds(self):
        """Three folds of the training rows."""
        rows = np.flatnonzero(self.train)
        if self.groups is None:
            splits = StratifiedKFold(3, shuffle=True, random_state=0).split(rows, self.y[rows])
        else:
            splits = GroupKFold(3).split(rows, groups=self.groups[rows])
        return [(rows[fit], rows[held_out]) for fit, held_out in splits]


def describe_texts(texts, train):
    return TextDescriptor(n_components=200).fit(texts[train]).transform(texts)


def emoji(folder):
    """Label words and pictures of one vendor; the class is the category."""
    frame = pd.read_parquet(folder / "emoji.parquet")
    images = np.load(folder / "emoji_images.npz", allow_pickle=True)
    train = (frame["split"] == "train").to_numpy()
    blocks = {
        "text": describe_texts(frame["cldr_label"], train),
        "image": ImageDescriptor().fit_transform(images["google"]),
    }
    return DataSet(blocks, frame["category"].to_numpy(), train)


def mosi_utterance(folder):
    """The features that come with the data; folds by video."""
    data = np.load(folder / "mosi.npz", allow_pickle=True)
    blocks = {name: data[f"X_{name}"] for name in ("text", "audio", "video")}
    return DataSet(blocks, data["y"], data["split"] == "train", data["video_id"])


def fashion_small(folder):
    """Titles, photos and attributes of a third of the products; the class is the season."""
    frame = pd.read_parquet(folder / "fashion.parquet").iloc[::3]
    train = (frame["split"] == "train").to_numpy()
    with zipfile.ZipFile(folder / "images.zip") as archive:
        paths = {name.split("/")[-1]: name for name in archive.namelist()}
        photos = [Image.open(io.BytesIO(archive.read(paths[f"{i}.jpg"]))) for i in frame["id"]]
    attributes = frame[["gender", "usage", "baseColour"]]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(attributes[train])
    blocks = {
        "text": describe_texts(frame["title"], train),
        "image": ImageDescriptor().fit_transform(photos),
        "tabular": one_hot.transform(attributes).astype(np.float32),
    }
    return DataSet(blocks, frame["season"].to_numpy(), train)


def av_digits(folder):
    """Written digits as pixels, spoken ones as cepstra of five segments."""
    data = np.load(folder / "av_digits.npz", allow_pickle=True)
    clips = np.split(data["audio"].astype(np.float32) / 2**15, data["offsets"][1:-1])
    blocks = {
        "image": data["image"].reshape(len(data["y"]), -1)[:, ::2] / np.float32(255),
        "audio": np.stack([describe_clip(clip) for clip in clips]),
    }
    return DataSet(blocks, data["y"].astype(int), data["split"] == "train")


def describe_clip(clip, window=256, step=128, n_bands=24, n_cepstra=13):
    """Cepstra of a log spectrum in even bands, averaged over five segments of the clip."""
    frames = np.lib.stride_tricks.sliding_window_view(clip, window)[::step] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, axis=1))[:, 1 : n_bands * 5 + 1] ** 2
    bands = np.log(power.reshape(len(frames), n_bands, 5).sum(2) + 1e-8)
    cepstra = dct(bands, axis=1, norm="ortho")[:, :n_cepstra]
    return np.concatenate([part.mean(0) for part in np.array_split(cepstra, 5)])
