"""What a user writes who has no encoder of texts at hand; its lines count as theirs."""

import os
from functools import cache

import numpy as np
from sentence_transformers import SentenceTransformer


@cache
def load_text_model():
    return SentenceTransformer(os.environ["PEERS_TEXT_MODEL"], device="cpu")


def encode_texts(texts):
    return load_text_model().encode(np.ravel(texts).tolist())
