"""imml: M3Care, a network of torch Lightning for a list of modalities of which some may lack."""

TITLE, PACKAGE, IMPORT, SEEDED = "imml (M3Care)", "imml[deep]", "imml", True
MISSING = "itself"
RAW = {"text": "your function", "image": "M3Care", "audio": "your function"}
GRID = {"learning_rate": [10 ** (i / 4 - 6) for i in range(24)]}

# user's code:
import pandas as pd
import torch
from imml.classify import M3Care
from imml.load import M3CareDataset
from lightning import Trainer
from sound_functions import encode_sounds
from text_functions import encode_texts
from torch.utils.data import DataLoader


def prepare(table):
    return [
        pd.DataFrame(encode_texts(table["text"])),
        pd.DataFrame(table[["image"]].to_numpy()),
        pd.DataFrame(encode_sounds(table["audio"])),
    ]


def make_model(modalities=("tabular", "image", "tabular"), widths=(384, 65), n_classes=10):
    return M3Care(
        modalities=list(modalities),
        input_dim=list(widths),
        output_dim=n_classes,
        vocab=[],
    )


def train(model, Xs, y, n_epochs=5):
    rows = M3CareDataset(Xs=Xs, y=torch.as_tensor(y))
    trainer = Trainer(
        max_epochs=n_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(rows, batch_size=64, shuffle=True))
    return model


def fit(table, y):
    return train(make_model(), prepare(table), y)


def predict_views(model, Xs):
    rows = M3CareDataset(Xs=Xs, y=torch.zeros(len(Xs[0]), dtype=torch.long))
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    return torch.cat(trainer.predict(model, DataLoader(rows, batch_size=64))).argmax(1).numpy()


def predict(model, table):
    return predict_views(model, prepare(table))


# end of user's code


class ForArrays:
    """Its defaults, with rows scaled, for 50 epochs (it has no default for them)."""

    def __init__(self, widths, seed):
        self.widths, self.seed = list(widths.values()), seed

    def split(self, X):
        import numpy as np

        parts = np.split((X - self.mean) / self.scale, np.cumsum(self.widths)[:-1], axis=1)
        return [pd.DataFrame(part) for part in parts]

    def fit(self, X, y):
        import numpy as np

        torch.manual_seed(self.seed)
        self.mean, self.scale = np.nanmean(X, axis=0), np.nanstd(X, axis=0) + 1e-6
        model = make_model(["tabular"] * len(self.widths), self.widths, int(y.max()) + 1)
        self.model = train(model, self.split(X), y, n_epochs=50)
        return self

    def predict(self, X):
        return predict_views(self.model, self.split(X))


make_for_arrays = ForArrays
