"""
Who dialled which digit? Two targets at once
============================================

From the tone of a key and a written digit one model predicts the digit and the person. The person
is known for a quarter of the training rows only; the others still help to learn the digit.
"""

# %%
# The pictures are scikit-learn's. The sounds are made here: the two tones of a telephone's key, as
# the telephones of four people play them, each with its overtone and its pitch, through much noise.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.image import ImageDescriptor

rng = np.random.default_rng(0)
digits = load_digits()
rows = rng.permutation(len(digits.target))[:600]
pictures = np.clip(digits.images[rows] / 16 + rng.normal(0, 0.5, (600, 8, 8)), 0, 1)
y = pd.DataFrame({"digit": digits.target[rows].astype(object)})
y["person"] = rng.choice(["Ada", "Bo", "Cy", "Di"], 600)
TONES = [(941, 1336), *((low, high) for low in (697, 770, 852) for high in (1209, 1336, 1477))]
PHONES = {"Ada": (1.0, 0.1), "Bo": (1.1, 0.1), "Cy": (1.0, 1.0), "Di": (1.1, 1.0)}


def play(digit, person):
    pitch, overtone = PHONES[person]
    phase = 2 * np.pi * pitch * np.outer(np.arange(2400) / 8000, TONES[digit])
    tones = np.sin(phase) + overtone * np.sin(2 * phase)
    return tones.mean(axis=1) + rng.normal(0, 1.5, 2400)


sounds = [(play(*row), 8000) for row in y.itertuples(index=False)]
X = pd.DataFrame({"sound": sounds, "picture": list(pictures)})
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=200, stratify=y["person"], random_state=0
)
y_train.loc[y_train.index[rng.random(len(y_train)) > 0.25], "person"] = None
print(y_train.head(4).to_string(), "\n", y_train.notna().sum().to_dict())

# %%
# y has two columns, and None where a target is not known. The network has a head for each.
encoder = ModalityTransformer(
    [
        ("sound", AudioDescriptor(), "sound"),
        ("picture", ImageDescriptor(image_size=28, pixels_per_cell=7), "picture"),
    ]
)
Z_train, Z_test = encoder.fit_transform(X_train), encoder.transform(X_test)
both = FusionClassifier(solver=AdamW(max_iter=20), random_state=0).fit(Z_train, y_train)
predicted = both.predict(Z_test).astype(str)  # (row, target)

# %%
# Compared with a model for each target, fitted to the rows in which it is known. One model for both
# is one file to keep; it need not be better, since both targets share the modalities' weights.
table = {}
for position, target in enumerate(y):
    known = y_train[target].notna()
    training = Z_train[known], y_train.loc[known, target].astype(str)
    truth = y_test[target].astype(str)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    table[target] = {
        "most frequent": (truth == training[1].mode()[0]).mean(),
        "regression, one target": regression.fit(*training).score(Z_test, truth),
        "FusionClassifier, one target": clone(both).fit(*training).score(Z_test, truth),
        "FusionClassifier, both": np.mean(predicted[:, position] == truth.to_numpy()),
    }
table = pd.DataFrame(table)
print(table.round(3).to_string())

# %%
# The picture cannot tell who dialled. What each modality adds to the right class of each target, on
# average over the test rows, beyond what it adds to the other classes:
contributions = both.contributions(Z_test)  # an array (row, modality, class) for each target
figure, axes = plt.subplots(1, 2, figsize=(8, 2.5), sharex=True, layout="constrained")
for ax, target, part, classes in zip(axes, y, contributions, both.classes_, strict=True):
    right = np.searchsorted(classes, y_test[target])
    part = part - part.mean(axis=2, keepdims=True)
    names = [*both.modalities_, "interaction"]
    ax.barh(names, part[np.arange(len(part)), :, right].mean(axis=0), color="gray")
    ax.set(title=target, xlabel="contribution to the logit of the truth")
plt.show()
