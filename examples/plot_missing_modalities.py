"""
What does it cost when the picture is missing?
==============================================

Emoji have a name and a picture. In training every third picture is missing; in the test more and
more of them are. A missing cell is ``None``, and nothing else has to be done.
"""

# %%
# The data: 1,898 emoji in 9 groups; 70 % for training.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.datasets import load_openmoji

X, y = load_openmoji(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)


def without_pictures(X, share):
    """Take the picture away from a share of the rows; a larger share has those of a smaller."""
    order = np.random.default_rng(0).permutation(len(X))
    has_picture = np.isin(np.arange(len(X)), order[round(share * len(X)) :])
    return X.assign(image=X["image"].where(has_picture, None))


# %%
# A model that masks missing modalities, and two alternatives: impute the mean of each feature, or
# use the names alone.
encoder = ModalityTransformer()
Z_train = encoder.fit_transform(without_pictures(X_train, 1 / 3))
shares = [0.0, 0.25, 0.5, 0.75, 1.0]
tests = [encoder.transform(without_pictures(X_test, share)) for share in shares]
regression = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.01))

parameters = {"interaction": None, "solver": AdamW(max_iter=20)}
fused = [
    FusionClassifier(**parameters, random_state=seed).fit(Z_train, y_train) for seed in range(2)
]
scores = np.array([[model.score(Z, y_test) for Z in tests] for model in fused])
imputed = regression.fit(Z_train, y_train)
imputed_scores = [imputed.score(Z, y_test) for Z in tests]
names = [Z.filter(like="text__") for Z in [Z_train, tests[0]]]
names_score = regression.fit(names[0], y_train).score(names[1], y_test)

# %%
# Without any picture one emoji in ten more is wrong, and the model does about as well as a
# regression that has learned from names alone. There are 570 test emoji, the same for each point.
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
percent = [100 * share for share in shares]
axes.errorbar(percent, scores.mean(0), scores.std(0), marker="o", label="skmm, mean of 2 seeds")
axes.plot(percent, imputed_scores, "s--", label="logistic regression, means imputed")
axes.axhline(names_score, color="gray", linestyle=":", label="logistic regression, names alone")
axes.set(xlabel="test emoji without a picture (%)", ylabel="test accuracy")
axes.legend()

# %%
# The less the model knows of a row, the less sure it is: the probability of the predicted class,
# and how often the prediction is right.
for share, Z in zip(shares, tests, strict=True):
    proba = fused[0].predict_proba(Z)
    right = (fused[0].classes_[proba.argmax(axis=1)] == y_test).mean()
    print(f"{share:4.0%} missing: confidence {proba.max(axis=1).mean():.2f}, accuracy {right:.2f}")
plt.show()
