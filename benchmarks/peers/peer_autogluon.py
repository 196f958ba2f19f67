"""AutoGluon-Multimodal: fine-tunes a pretrained model for each column, here from disk."""

import os

TITLE, PACKAGE, IMPORT = "AutoGluon-Multimodal", "autogluon.multimodal", "autogluon.multimodal"
SEEDED = True
MISSING = "itself"
RAW = {"text": "hf_text", "image": "timm_image", "audio": "your function, as numbers"}
GRID = {"label": ["digit"] * 24}

QUIET = {"env.num_workers": 0, "env.num_workers_inference": 0}
OPTIONS = {  # not the user's: since no hub can be reached, and to be quick
    **QUIET,
    "model.names": ["hf_text", "timm_image", "numerical_mlp", "fusion_mlp"],
    "model.hf_text.checkpoint_name": os.environ["PEERS_TEXT_MODEL"],
    "model.timm_image.checkpoint_name": os.environ["PEERS_IMAGE_MODEL"] + "_features",
    "optim.max_epochs": 2,
}

# user's code:
import pandas as pd
from autogluon.multimodal import MultiModalPredictor
from sound_functions import encode_sounds


def add_sounds(table):
    sounds = pd.DataFrame(encode_sounds(table["audio"]), index=table.index).add_prefix("sound")
    return pd.concat([table[["text", "image"]], sounds], axis=1)


def fit(table, y):
    predictor = MultiModalPredictor(label="digit", problem_type="multiclass", verbosity=0)
    return predictor.fit(add_sounds(table).assign(digit=y), hyperparameters=OPTIONS)


def predict(predictor, table):
    return predictor.predict(add_sounds(table), as_pandas=False)


# end of user's code


def unwrap(predictor):
    return predictor


class ForArrays:
    """Its numerical_mlp: its ft_transformer would have a token for each of 1,795 columns."""

    def __init__(self, widths, seed):
        self.seed = seed

    def fit(self, X, y):
        self.predictor = MultiModalPredictor(label="y", verbosity=0)
        options = {**QUIET, "model.names": ["numerical_mlp"]}
        self.predictor.fit(self.frame(X).assign(y=y), hyperparameters=options, seed=self.seed)
        return self

    def frame(self, X):
        return pd.DataFrame(X).add_prefix("x")

    def predict(self, X):
        return self.predictor.predict(self.frame(X), as_pandas=False)


make_for_arrays = ForArrays
