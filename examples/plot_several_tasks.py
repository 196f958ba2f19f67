"""
Who said which digit? Two targets at once
=========================================

From a recording and a written digit one model predicts the digit and the speaker. The speaker is
known for a quarter of the training rows only; the others still help to learn the digit.
"""

# %%
# Recordings of the Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset), and
# with each a picture of MNIST; "av_digits.npz" holds the arrays.
import os
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.image import ImageDescriptor

path = Path(os.environ.get("SKMM_SHARED_DATA", "shared/data"), "av_digits", "av_digits.npz")
if not path.exists():
    print(f"This example needs {path}, which does not exist; its first lines say what it holds.")
    sys.exit()
data = np.load(path, allow_pickle=True)
rng = np.random.default_rng(0)
clips = np.split(data["audio"] / 2**15, data["offsets"][1:-1])
rows = rng.permutation(len(clips))[:600]
X = pd.DataFrame(
    {"sound": [(clips[row], 8000) for row in rows], "picture": list(data["image"][rows])}
)
y = pd.DataFrame({"digit": data["y"][rows].astype(object), "speaker": data["speaker"][rows]})
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=200, stratify=y["speaker"], random_state=0
)
y_train.loc[y_train.index[rng.random(len(y_train)) > 0.25], "speaker"] = None
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
fitted = [
    FusionClassifier(solver=AdamW(max_iter=20), random_state=seed).fit(Z_train, y_train)
    for seed in range(2)
]
predicted = np.array([both.predict(Z_test) for both in fitted]).astype(str)  # (seed, row, target)

# %%
# Compared with a model for each target, fitted to the rows in which it is known; skmm with two
# seeds. One model for both is one file to keep. It need not be better: here both targets share the
# modalities' weights, and a model of the speaker alone is right more often.
table = {}
for position, target in enumerate(y):
    known = y_train[target].notna()
    training = Z_train[known], y_train.loc[known, target].astype(str)
    truth = y_test[target].astype(str)
    single = FusionClassifier(solver=AdamW(max_iter=20))
    alone = [clone(single).set_params(random_state=seed).fit(*training) for seed in range(2)]
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    table[target] = {
        "most frequent": (truth == training[1].mode()[0]).mean(),
        "regression, one target": regression.fit(*training).score(Z_test, truth),
        "FusionClassifier, one target": np.mean([model.score(Z_test, truth) for model in alone]),
        "FusionClassifier, both": np.mean(predicted[:, :, position] == truth.to_numpy()),
    }
table = pd.DataFrame(table)
print(table.round(3).to_string())

# %%
# The picture says nothing about the speaker, and the contributions show it: what each modality adds
# to the right class of each target, on average over the test rows.
both = fitted[0]
contributions = both.contributions(Z_test)  # an array (row, modality, class) for each target
figure, axes = plt.subplots(1, 2, figsize=(8, 2.5), sharex=True, layout="constrained")
for ax, target, part, classes in zip(axes, y, contributions, both.classes_, strict=True):
    right = np.searchsorted(classes, y_test[target])
    part = part - part.mean(axis=2, keepdims=True)
    names = [*both.modalities_, "interaction"]
    ax.barh(names, part[np.arange(len(part)), :, right].mean(axis=0), color="gray")
    ax.set(title=target, xlabel="contribution to the logit of the truth")
plt.show()
