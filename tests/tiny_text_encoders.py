"""A tiny model of sentence-transformers with random weights, and texts that it can be tuned to."""

import numpy as np
import torch
from minilm import MINILM

from skmm.encoding.engine import patch_torchvision

WORDS = ["red", "blue", "green", "cat", "dog", "bird", "hat", "shoe", "old", "new", "big", "small"]
WIDTH = 16


def make_encoder_model(n_layers=3, kind="bert"):
    """Make a model of three layers; of kind "mpnet" layers share a bias of positions."""
    patch_torchvision()
    import sentence_transformers
    import transformers

    sizes = {
        "vocab_size": 30522,
        "hidden_size": WIDTH,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "bert":
            bare = transformers.BertModel(transformers.BertConfig(**sizes))
        else:
            bare = transformers.MPNetModel(transformers.MPNetConfig(**sizes))
        with torch.no_grad():  # so that words and layers make a difference
            for parameter in bare.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return bare, sentence_transformers


def save_encoder_model(folder, **options):
    """Save a model with the tokenizer of MiniLM; return the folder as a string."""
    bare, sentence_transformers = make_encoder_model(**options)
    import transformers

    bare.save_pretrained(folder / "bare")
    transformers.AutoTokenizer.from_pretrained(MINILM).save_pretrained(folder / "bare")
    modules = sentence_transformers.sentence_transformer.modules
    transformer = sentence_transformers.base.modules.Transformer(str(folder / "bare"))
    model = sentence_transformers.SentenceTransformer(
        modules=[transformer, modules.Pooling(WIDTH)], device="cpu"
    )
    model.save(str(folder / "model"))
    return str(folder / "model")


def draw_texts(n, seed=0):
    """Draw texts of three to six words, and whether "cat" or "dog" is among them."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(3, 7), replace=False)) for _ in range(n)]
    return texts, np.array([("cat" in t) or ("dog" in t) for t in texts])
