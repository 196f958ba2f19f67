"""What a user writes who has no encoder of pictures at hand; its lines count as theirs."""

import os
from functools import cache

import numpy as np
import timm
import torch
from PIL import Image

IMAGE_MODEL = os.environ["PEERS_IMAGE_MODEL"]


@cache
def load_image_model():
    model = timm.create_model(f"local-dir:{IMAGE_MODEL}", pretrained=True, num_classes=0).eval()
    return model, timm.data.create_transform(**timm.data.resolve_model_data_config(model))


def encode_images(paths):
    model, prepare = load_image_model()
    images = [prepare(Image.open(path).convert("RGB")) for path in np.ravel(paths)]
    with torch.inference_mode():
        batches = [torch.stack(images[i : i + 32]) for i in range(0, len(images), 32)]
        return torch.cat([model(batch) for batch in batches]).numpy()
