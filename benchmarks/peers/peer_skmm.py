"""skmm: this package."""

import os

from skmm import AdamW

TITLE, PACKAGE, IMPORT, SEEDED = "skmm", "skmm[text,image,audio]", "skmm", True
MISSING = "itself"
RAW = {"text": "TextEncoder", "image": "ImageEncoder", "audio": "AudioDescriptor"}
GRID = {
    "fusionclassifier__solver": [AdamW(weight_decay=10 ** (i / 4 - 5)) for i in range(24)],
}

TEXT_MODEL, IMAGE_MODEL = os.environ["PEERS_TEXT_MODEL"], os.environ["PEERS_IMAGE_MODEL"]

# user's code:
from sklearn.pipeline import make_pipeline

from skmm import FusionClassifier, ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.image import ImageEncoder
from skmm.text import TextEncoder


def make_model():
    encoders = [
        ("text", TextEncoder(TEXT_MODEL), "text"),
        ("image", ImageEncoder(IMAGE_MODEL), "image"),
        ("audio", AudioDescriptor(), "audio"),
    ]
    return make_pipeline(ModalityTransformer(encoders), FusionClassifier(random_state=0))


# end of user's code


def make_for_arrays(widths, seed):
    return FusionClassifier(modalities=widths, random_state=seed)
