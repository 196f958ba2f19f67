"""
What gives an opinion away: words, voice or face?
=================================================

Features that were computed elsewhere are columns named ``modality__feature``. Each row is an
utterance of one of 200 speakers, and the model will be asked about people it has never seen:
``groups`` tells it which rows belong together.
"""

# %%
# The utterances are made up, so that it is known what each modality knows. The words tell opinions,
# for everybody. The voice does so a little. The face tells who speaks, and nothing else; but most
# people are of one opinion most of the time, so that whoever knows the speaker can guess.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, FusionClassifier, LateFusionClassifier
from skmm.inspection import ModalityAblationDisplay, ModalityWeightsDisplay

rng = np.random.default_rng(0)
n_speakers, n_rows = 200, 1600
speaker = rng.integers(n_speakers, size=n_rows)
is_positive = rng.random(n_rows) < rng.choice([0.05, 0.95], n_speakers)[speaker]
directions = {"words": rng.normal(size=20), "voice": rng.normal(size=20)}
blocks = {
    name: rng.normal(size=(n_rows, len(direction)))
    + np.outer(2 * is_positive - 1, strength * direction / np.linalg.norm(direction))
    for (name, direction), strength in zip(directions.items(), [0.8, 0.4], strict=True)
}
blocks["face"] = rng.normal(size=(n_speakers, 60))[speaker] + rng.normal(0, 0.3, (n_rows, 60))
X = pd.concat([pd.DataFrame(b).add_prefix(f"{name}__") for name, b in blocks.items()], axis=1)
y = np.where(is_positive, "positive", "negative")
train = speaker < n_speakers // 2
print(X.iloc[:3, [0, 1, 20, 21, 40, 41]].round(2).to_string())

# %%
# No speaker is in both halves. With ``groups`` the weights are learned on rows of speakers that the
# models of the modalities have not seen, and without it on rows of any. `LateFusionClassifier`
# averages the probabilities of a regression for each modality.
accuracy = {"the more frequent class": pd.Series(y[~train]).value_counts(normalize=True).max()}
columns_of = {name: [column for column in X if column.startswith(name)] for name in blocks}
regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
for name, columns in {**columns_of, "all columns": list(X)}.items():
    regression.fit(X.loc[train, columns], y[train])
    accuracy[f"regression, {name}"] = regression.score(X.loc[~train, columns], y[~train])
late = LateFusionClassifier([(name, regression, columns_of[name]) for name in blocks])
accuracy["LateFusionClassifier"] = late.fit(X[train], y[train]).score(X[~train], y[~train])
models, parameters = {}, {"interaction": None, "solver": AdamW(max_iter=20)}
for name, groups in {"without groups": None, "with groups": speaker[train]}.items():
    models[name] = [
        FusionClassifier(**parameters, random_state=seed).fit(X[train], y[train], groups=groups)
        for seed in range(2)
    ]
    scores = [model.score(X[~train], y[~train]) for model in models[name]]
    accuracy[f"FusionClassifier {name} (2 seeds, sd {np.std(scores):.3f})"] = np.mean(scores)
print(f"{train.sum()} utterances for training, {(~train).sum()} of other people for the test")
print(pd.Series(accuracy, name="accuracy").round(3).to_frame().to_string())

# %%
# What the face is worth is not the same for known and for new people, and the weights show which of
# these a model was asked about.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for ax, (name, fitted) in zip(axes, models.items(), strict=False):
    ModalityWeightsDisplay.from_estimator(fitted, ax=ax)
    ax.set_title(name)
ModalityAblationDisplay.from_estimator(models["with groups"][0], X[~train], y[~train], ax=axes[2])
axes[2].set_title("with groups, new people")
plt.show()
face = {name: np.mean([m.modality_weights_["face"] for m in f]) for name, f in models.items()}
print("weight of the face:", {name: round(float(weight), 2) for name, weight in face.items()})
