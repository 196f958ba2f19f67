"""How much memory does it take to encode 20,000 images from paths?

Peak resident memory beyond that of the loaded model and of the vectors that are the output, in
batches (32 images of 224 x 224 pixels, as floats: 18.4 MiB). It holds the batches that are read and
encoded, what the model makes of one, and the keys of the items. A cache in memory keeps the
vectors, which are as large as the output and counted separately. For comparison, what reading all
images first would take.

    python benchmarks/encode_memory.py [n_images]
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from skmm.encoding.engine import patch_torchvision
from skmm.image import ImageEncoder

patch_torchvision()  # open_clip is imported here before skmm does so

BATCH = 32 * 3 * 224 * 224 * 4  # bytes
VISION = {"image_size": 224, "layers": 1, "width": 64, "head_width": 32, "patch_size": 32}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}


def peak() -> int:
    """The most bytes that were resident at once, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def save_clip(folder: str) -> None:
    """Save a CLIP model with random weights as open_clip does."""
    import open_clip

    torch.manual_seed(0)
    config = {"embed_dim": 512, "vision_cfg": VISION, "text_cfg": TEXT}
    torch.save(open_clip.CLIP(**config).state_dict(), Path(folder, "open_clip_pytorch_model.bin"))
    Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))


def measure(folder: str, n_images: int, cache: str) -> None:
    """Encode in this process, whose peak has seen nothing else."""
    torch.set_num_threads(1)
    paths = [f"{folder}/{i}.png" for i in range(n_images)]
    encoder = ImageEncoder(folder, cache=None if cache == "none" else cache).fit(paths[:1])
    encoder.transform(paths[:1])
    before = peak()
    vectors = encoder.transform(paths)
    output = vectors.nbytes / BATCH
    kept = output if cache == "memory" else 0
    batches = (peak() - before) / BATCH - output - kept
    print(
        f"cache={Path(cache).name:14s} {batches:5.1f} batches, and an output of {output:.1f}"
        + (f" and {kept:.1f} that the cache keeps" if kept else "")
    )


def main() -> None:
    if len(sys.argv) > 2:
        measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])
        return
    n_images = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        save_clip(folder)
        for i in range(n_images):
            Image.new("RGB", (64, 64), (i % 256, i // 256, 0)).save(f"{folder}/{i}.png")
        for cache in ("none", "memory", f"{folder}/cache.sqlite"):
            command = [sys.executable, __file__, folder, str(n_images), cache]
            subprocess.run(command, check=True)
    print(f"all at once          {n_images / 32:5.0f} batches")


if __name__ == "__main__":
    main()
