"""
Is a digit easier to hear or to read?
=====================================

Each row is one digit twice: the tone of a telephone's key, and a picture of the digit as somebody
wrote it. Both are noisy, so that neither modality is enough alone. One model reads the raw samples
and the raw pixels.
"""

# %%
# The pictures are scikit-learn's; the tones are made here.
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
digits = load_digits()
y = digits.target[:750]
keys = [(941, 1336), *((low, high) for low in (697, 770, 852) for high in (1209, 1336, 1477))]
time = np.arange(2400)[:, None] / 8000
tones = np.sin(2 * np.pi * time * np.array(keys)[:, None]).mean(axis=2)  # (digit, time)
sounds = [tone + rng.normal(0, 3, 2400) for tone in tones[y]]
pictures = np.clip(digits.images[:750] / 16 + rng.normal(0, 0.3, (750, 8, 8)), 0, 1)

X = pd.DataFrame({"sound": [(sound, 8000) for sound in sounds], "picture": list(pictures)})
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=250, stratify=y, random_state=0)

figure, axes = plt.subplots(2, 4, figsize=(8, 3), height_ratios=[1, 2], layout="constrained")
for (sound, _), picture, (top, bottom) in zip(X["sound"], X["picture"], axes.T, strict=False):
    top.plot(np.abs(np.fft.rfft(sound))[180:480], linewidth=0.8, color="black")
    bottom.imshow(picture, cmap="gray")
    top.axis("off")
    bottom.axis("off")
figure.suptitle("Four of the rows: the spectrum of the sound (600 to 1,600 Hz) and the picture")

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
print("250 digits for the test, 500 for training")
print(pd.Series(accuracy, name="accuracy").round(3).to_frame().to_string())

# %%
# The same fitted model, without the sound and without the picture.
ModalityAblationDisplay.from_estimator(models[0], Z_test, y_test)
plt.show()
