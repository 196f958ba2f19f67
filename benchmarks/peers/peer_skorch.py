"""skorch: any torch module as a scikit-learn estimator; the module is the user's."""

TITLE, PACKAGE, IMPORT, SEEDED = "skorch", "skorch", "skorch", True
MISSING = "SimpleImputer"
RAW = {"text": "your function", "image": "your function", "audio": "your function"}
GRID = {"neuralnetclassifier__optimizer__weight_decay": [10 ** (i / 4 - 5) for i in range(24)]}

# user's code:
import numpy as np
import torch
from image_functions import encode_images
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetClassifier
from sound_functions import encode_sounds
from text_functions import encode_texts
from torch import nn


class LateFusion(nn.Module):
    def __init__(self, widths=(384, 1280, 65), n_classes=10, n_hidden=256):
        super().__init__()
        self.widths = list(widths)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(n, n_hidden), nn.ReLU(), nn.Dropout(0.5)) for n in widths
        )
        self.heads = nn.ModuleList(nn.Linear(n_hidden, n_classes) for _ in widths)

    def forward(self, X):
        parts = zip(X.split(self.widths, dim=1), self.branches, self.heads, strict=True)
        return torch.stack([head(branch(x)) for x, branch, head in parts]).mean(dim=0)


def make_net(**options):
    return NeuralNetClassifier(
        LateFusion,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=0.001,
        max_epochs=40,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **options,
    )


def make_model():
    columns = make_column_transformer(
        (FunctionTransformer(encode_texts), ["text"]),
        (FunctionTransformer(encode_images), ["image"]),
        (FunctionTransformer(encode_sounds), ["audio"]),
    )
    to_float32 = FunctionTransformer(np.float32)
    return make_pipeline(columns, StandardScaler(), to_float32, make_net())


# end of user's code


def make_for_arrays(widths, seed):
    from sklearn.impute import SimpleImputer

    torch.manual_seed(seed)
    net = make_net(module__widths=tuple(widths.values()))
    return make_pipeline(SimpleImputer(), StandardScaler(), FunctionTransformer(np.float32), net)
