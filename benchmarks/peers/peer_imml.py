"""imml: M3Care, a network of torch Lightning for a list of modalities of which some may lack."""

TITLE, PACKAGE, IMPORT, SEEDED = "imml (M3Care)", "imml[deep]", "imml", True
MISSING = "itself"
RAW = {"text": "M3Care", "image": "M3Care", "audio": "your function"}
GRID = {"learning_rate": [10 ** (i / 4 - 6) for i in range(24)]}

QUIET = {  # not the user's
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

# user's code:
from pathlib import Path

import pandas as pd
import torch
from imml.classify import M3Care
from imml.load import M3CareDataset
from lightning import Trainer
from sound_functions import encode_sounds
from torch.utils.data import DataLoader


def prepare(table):
    sounds = pd.DataFrame(encode_sounds(table["audio"]))
    return [*(pd.DataFrame(table[[name]].to_numpy()) for name in ("text", "image")), sounds]


def make_model():
    modalities = ["text", "image", "tabular"]
    return M3Care(
        modalities=modalities, input_dim=[65], output_dim=10, vocab=["words.txt", 9999, 1]
    )


def train(model, Xs, y, n_epochs=5):
    rows = DataLoader(M3CareDataset(Xs=Xs, y=torch.as_tensor(y)), batch_size=64, shuffle=True)
    Trainer(max_epochs=n_epochs, **QUIET).fit(model, rows)
    return model


def fit(table, y):
    Path("words.txt").write_text("\n".join(table["text"]))
    return train(make_model(), prepare(table), y)


def predict_views(model, Xs):
    rows = DataLoader(M3CareDataset(Xs=Xs, y=torch.zeros(len(Xs[0]))), batch_size=64)
    return torch.cat(Trainer(**QUIET).predict(model, rows)).argmax(1).numpy()


def predict(model, table):
    return predict_views(model, prepare(table))


# end of user's code


class ForArrays:
    """Its defaults, with rows scaled, for 50 epochs (it has no default for them)."""

    def __init__(self, widths, seed):
        self.widths, self.seed = widths, seed

    def split(self, X):
        from arrays import split

        return [pd.DataFrame(part) for part in split(self.scaler.transform(X), self.widths)]

    def fit(self, X, y):
        from sklearn.preprocessing import StandardScaler

        torch.manual_seed(self.seed)
        self.scaler = StandardScaler().fit(X)
        model = M3Care(
            modalities=["tabular"] * len(self.widths),
            input_dim=list(self.widths.values()),
            output_dim=int(y.max()) + 1,
            vocab=[],
        )
        self.model = train(model, self.split(X), y, n_epochs=50)
        return self

    def predict(self, X):
        return predict_views(self.model, self.split(X))


make_for_arrays = ForArrays
