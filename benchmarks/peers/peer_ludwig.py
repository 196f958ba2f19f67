"""Ludwig: a model declared by a configuration; it has types for texts, pictures and sounds."""

TITLE, PACKAGE, IMPORT, SEEDED = "Ludwig", "ludwig", "ludwig.api", True
MISSING = "itself (fill_value)"
RAW = {"text": "text, parallel_cnn", "image": "image, stacked_cnn", "audio": "audio, parallel_cnn"}
GRID = {"config": [{}] * 24}

# user's code:
from ludwig.api import LudwigModel

CONFIG = {
    "input_features": [
        {"name": "text", "type": "text", "encoder": {"type": "parallel_cnn"}},
        {"name": "image", "type": "image", "encoder": {"type": "stacked_cnn"}},
        {"name": "audio", "type": "audio", "encoder": {"type": "parallel_cnn"}},
    ],
    "output_features": [{"name": "digit", "type": "category"}],
    "trainer": {"epochs": 3},
}


def fit(table, y, config=CONFIG):
    model = LudwigModel(config, backend="local")
    model.train(dataset=table.assign(digit=y))
    return model


def predict(model, table):
    predictions, _ = model.predict(dataset=table, skip_save_predictions=True)
    return predictions["digit_predictions"].astype(int).to_numpy()


# end of user's code


def unwrap(model):
    return model


PART = "without the sounds"  # which torchaudio may not be able to read


def fit_partly(table, y):
    return fit(table, y, {**CONFIG, "input_features": CONFIG["input_features"][:2]})


class ForArrays:
    """A vector feature for each modality, scaled, and its defaults, which stop early.

    All rows are for training, or for telling when to stop: by default it would set a fifth aside.
    """

    def __init__(self, widths, seed):
        self.widths, self.seed = widths, seed

    def frame(self, X):
        import numpy as np
        import pandas as pd
        from arrays import split

        parts = split(self.scaler.transform(X), self.widths)
        return pd.DataFrame(
            {
                name: [None if np.isnan(row).any() else " ".join(map(str, row)) for row in part]
                for name, part in zip(self.widths, parts, strict=True)
            }
        )

    def fit(self, X, y):
        from sklearn.preprocessing import StandardScaler

        self.scaler = StandardScaler().fit(X)
        config = {
            "input_features": [
                {
                    "name": name,
                    "type": "vector",
                    "preprocessing": {"fill_value": " ".join(["0"] * width)},  # where one lacks
                }
                for name, width in self.widths.items()
            ],
            "output_features": [{"name": "y", "type": "category"}],
            "preprocessing": {"split": {"type": "random", "probabilities": [0.9, 0.1, 0.0]}},
        }
        self.model = LudwigModel(config, backend="local")
        rows = self.frame(X).assign(y=y)
        self.model.train(dataset=rows, random_seed=self.seed, skip_save_processed_input=True)
        return self

    def predict(self, X):
        predictions, _ = self.model.predict(dataset=self.frame(X), skip_save_predictions=True)
        return predictions["y_predictions"].astype(int).to_numpy()


make_for_arrays = ForArrays
