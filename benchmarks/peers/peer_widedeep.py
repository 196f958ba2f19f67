"""pytorch-widedeep: one component for each kind of input, joined by their last layers."""

TITLE, PACKAGE, IMPORT, SEEDED = "pytorch-widedeep", "pytorch-widedeep", "pytorch_widedeep", True
MISSING = "SimpleImputer"
RAW = {"text": "BasicRNN", "image": "Vision", "audio": "your function, as numbers"}
GRID = {"lr_schedulers": [None] * 24}

# user's code:
import pandas as pd
from pytorch_widedeep import Trainer
from pytorch_widedeep.models import BasicRNN, TabMlp, Vision, WideDeep
from pytorch_widedeep.preprocessing import ImagePreprocessor, TabPreprocessor, TextPreprocessor
from sound_functions import encode_sounds


def add_sounds(table):
    sounds = pd.DataFrame(encode_sounds(table["audio"]), index=table.index).add_prefix("sound")
    return pd.concat([table, sounds], axis=1)


def fit(table, y):
    table = add_sounds(table)
    sounds = [name for name in table if name.startswith("sound")]
    tab = TabPreprocessor(continuous_cols=sounds, cols_to_scale=sounds)
    text = TextPreprocessor(text_col="text", min_freq=1, n_cpus=1, verbose=0)
    image = ImagePreprocessor(img_col="image", img_path="/", verbose=0)
    X = {
        "X_tab": tab.fit_transform(table),
        "X_text": text.fit_transform(table),
        "X_img": image.fit_transform(table),
    }
    network = WideDeep(
        deeptabular=TabMlp(tab.column_idx, continuous_cols=sounds),
        deeptext=BasicRNN(vocab_size=len(text.vocab.itos), embed_dim=32),
        deepimage=Vision(),
        pred_dim=int(y.max()) + 1,
    )
    trainer = Trainer(network, objective="multiclass", num_workers=0, verbose=0)
    trainer.fit(**X, target=y, n_epochs=3, batch_size=32)
    return tab, text, image, trainer


def predict(model, table):
    tab, text, image, trainer = model
    table = add_sounds(table)
    return trainer.predict(
        X_tab=tab.transform(table), X_text=text.transform(table), X_img=image.transform(table)
    )


# end of user's code


def unwrap(model):
    return model[-1]


class ForArrays:
    """A TabMlp for each modality, with its defaults, for 20 epochs (its default is 1)."""

    def __init__(self, widths, seed):
        self.widths, self.seed = widths, seed

    def split(self, X):
        from arrays import split

        return split(self.scaler.transform(X).astype("float32"), self.widths)

    def fit(self, X, y):
        import torch
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        torch.manual_seed(self.seed)
        self.scaler = make_pipeline(SimpleImputer(), StandardScaler()).fit(X)
        parts = []
        for name, width in self.widths.items():
            columns = [f"{name}{i}" for i in range(width)]
            index = {column: i for i, column in enumerate(columns)}
            parts.append(TabMlp(index, continuous_cols=columns))
        n_classes = int(y.max()) + 1
        model = WideDeep(
            deeptabular=parts,
            head_hidden_dims=[100] if len(parts) > 2 else None,  # else it adds up two, not more
            pred_dim=1 if n_classes == 2 else n_classes,
        )
        objective = "binary" if n_classes == 2 else "multiclass"
        self.trainer = Trainer(model, objective=objective, seed=self.seed, num_workers=0, verbose=0)
        self.trainer.fit(X_tab=self.split(X), target=y, n_epochs=20, batch_size=64)
        return self

    def predict(self, X):
        return self.trainer.predict(X_tab=self.split(X))


make_for_arrays = ForArrays
