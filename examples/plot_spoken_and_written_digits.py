"""
Is a digit easier to hear or to read?
=====================================

Each row is one digit twice: six people say it, and somebody wrote it. The pictures are made noisy,
so that neither modality is enough alone. One model reads the raw samples and the raw pixels.
"""

# %%
# Recordings of the Free Spoken Digit Dataset, each with a picture from MNIST. Where they are not on
# this machine, the tones of a telephone's keys and scikit-learn's pictures are used instead.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.image import ImageDescriptor
from skmm.inspection import ModalityAblationDisplay

rng = np.random.default_rng(0)
path = Path(os.environ.get("SKMM_SHARED_DATA", "shared/data"), "av_digits", "av_digits.npz")
if path.exists():
    data = np.load(path, allow_pickle=True)
    clips = np.split(data["audio"] / 2**15, data["offsets"][1:-1])
    rows = rng.permutation(len(clips))[:750]
    sounds = [clips[row] for row in rows]
    pictures, y = data["image"][rows] / 255, data["y"][rows]
else:
    print(f"{path} does not exist: the tones of a telephone are used instead of speech.")
    digits = load_digits()
    pictures, y = digits.images[:750] / 16, digits.target[:750]
    keys = np.array([[941, 1336], *np.dstack(np.meshgrid([697, 770, 852], [1209, 1336, 1477]))
                     .transpose(1, 0, 2).reshape(-1, 2)])  # fmt: skip
    time = np.arange(2400)[:, None] / 8000
    sounds = [np.sin(2 * np.pi * time * keys[d]).mean(1) + rng.normal(0, 3, 2400) for d in y]
pictures = np.clip(pictures + rng.normal(0, 0.3, pictures.shape), 0, 1)

X = pd.DataFrame({"sound": [(sound, 8000) for sound in sounds], "picture": list(pictures)})
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=250, stratify=y, random_state=0)

figure, axes = plt.subplots(2, 4, figsize=(8, 3), height_ratios=[1, 2], layout="constrained")
for (sound, _), picture, (top, bottom) in zip(X["sound"], X["picture"], axes.T, strict=False):
    top.plot(sound, linewidth=0.5, color="black")
    bottom.imshow(picture, cmap="gray")
    top.axis("off")
    bottom.axis("off")
figure.suptitle("Four of the rows")

# %%
# An encoder for each column, then fusion; compared with logistic regression on the same features.
encoder = ModalityTransformer(
    [
        ("sound", AudioDescriptor(), "sound"),
        ("picture", ImageDescriptor(image_size=28, pixels_per_cell=7), "picture"),
    ]
)
Z_train, Z_test = encoder.fit_transform(X_train), encoder.transform(X_test)
accuracy = {}
for name in ["sound", "picture", "sound|picture"]:
    A, B = Z_train.filter(regex=f"^({name})__"), Z_test.filter(regex=f"^({name})__")
    baseline = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    accuracy[f"regression, {name}"] = baseline.fit(A, y_train).score(B, y_test)
parameters = {"interaction": None, "solver": AdamW(max_iter=20)}
models = [
    FusionClassifier(**parameters, random_state=seed).fit(Z_train, y_train) for seed in range(2)
]
scores = [model.score(Z_test, y_test) for model in models]
accuracy[f"skmm, both (2 seeds, sd {np.std(scores):.3f})"] = np.mean(scores)
print("250 digits of the same speakers, 500 for training")
print(pd.Series(accuracy, name="accuracy").round(3).to_frame().to_string())

# %%
# The same fitted model, without the sound and without the picture. With this much noise in the
# pictures a digit is easier to hear, and with both some more digits are right than by ear alone.
ModalityAblationDisplay.from_estimator(models[0], Z_test, y_test)
plt.show()
