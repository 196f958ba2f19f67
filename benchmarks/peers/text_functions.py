"""What a user writes who has no encoder of texts at hand; its lines count as theirs."""

import os
from functools import cache

import numpy as np
from sentence_transformers import SentenceTransformer

TEXT_MODEL = os.environ["PEERS_TEXT_MODEL"]


@cache
def load_text_model():
    return SentenceTransformer(TEXT_MODEL)


def encode_texts(texts):
    return load_text_model().encode(np.ravel(texts).tolist())
