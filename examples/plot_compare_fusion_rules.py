"""
Which fusion rule, and when?
============================

Some questions can be answered by adding up what each modality says, and some only by reading both
together: "is the text about what the picture shows?". Seven rules, one question of each kind.
"""

# %%
# Two modalities of five features. In "adds up" the class is the sign of a sum of one number from
# each; in "interacts" that of their product, of which neither modality alone tells anything.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmm import MLP, AdamW, FusionClassifier

rng = np.random.default_rng(0)
X = pd.DataFrame(
    rng.normal(size=(800, 10)), columns=[f"{m}__{j}" for m in ("text", "image") for j in range(5)]
)
a, b = X["text__0"], X["image__0"]
questions = {"adds up": (a + b > 0).to_numpy(), "interacts": (a * b > 0).to_numpy()}
rules = ["late", "additive", "weighted", "gated", "concat", "attention", "bilinear"]

# %%
# 500 rows for training, 300 for the test, two seeds; the same layers and equal weights for each.
settings = {
    "modality_model": MLP((32, 32), dropout=0.0),
    "modality_loss_weight": 0.0,
    "solver": AdamW(weight_decay=0.1, max_iter=15),
}
table = pd.DataFrame(index=rules, columns=list(questions), dtype=float)
spread = table.copy()
for question, y in questions.items():
    for rule in rules:
        weights = "uniform" if rule not in ("attention", "bilinear") else None  # they have none
        scores = []
        for seed in range(2):
            model = FusionClassifier(rule, modality_weights=weights, random_state=seed, **settings)
            scores.append(model.fit(X[:500], y[:500]).score(X[500:], y[500:]))
        table.loc[rule, question], spread.loc[rule, question] = np.mean(scores), np.std(scores)
print(table.round(2).to_string())

# %%
# A sum of scores cannot see an interaction, whatever it is trained on: "late" and "additive" guess.
# Where modalities add up, nothing is gained by more than that. Choose by cross-validation, with
# ``fusion`` in the grid; and where it does not matter, take "late", whose predictions split into
# one part for each modality.
figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
for offset, (question, hatch) in zip(
    [-0.2, 0.2], [("adds up", ""), ("interacts", "//")], strict=True
):
    axes.bar(
        np.arange(len(rules)) + offset,
        table[question],
        yerr=spread[question],
        width=0.38,
        hatch=hatch,
        edgecolor="white",
        label=question,
    )
axes.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
axes.set_xticks(range(len(rules)), rules)
axes.set(ylabel="test accuracy", ylim=(0.4, 1))
axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
plt.show()
