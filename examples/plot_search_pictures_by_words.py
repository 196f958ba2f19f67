"""
Can words find pictures that nobody has named?
==============================================

1,898 emoji, each with a name and a drawing. From the pairs alone, without labels, an aligner learns
what words and drawings have in common. Then it searches among drawings that it has never seen, and
without their names.
"""

# %%
# Raw columns to features, each modality by its own encoder, none of which is downloaded.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import train_test_split

from skmm import ModalityTransformer
from skmm.alignment import CrossModalAligner, recall_at_k
from skmm.datasets import load_openmoji

X, groups = load_openmoji(return_X_y=True)
X_train, X_test = train_test_split(X, test_size=0.3, stratify=groups, random_state=0)
encoder = ModalityTransformer().fit(X_train)
Z_train, Z_test = encoder.transform(X_train), encoder.transform(X_test)

# %%
# Names and drawings in one space. How often is the drawing of an unseen emoji among the first that
# its name finds, of all the unseen ones? By chance it would be k of their number. So words do find
# pictures, twenty times as often as chance among the first ten, and still for fewer than half.
models = {"canonical correlations": CrossModalAligner("cca"), "contrastive": CrossModalAligner()}
table = pd.DataFrame({"chance": {k: k / len(X_test) for k in (1, 5, 10)}})
for name, model in models.items():
    model.set_params(random_state=0).fit(Z_train)
    found = {k: recall_at_k(k, source="text", target="image")(model, Z_test) for k in table.index}
    table[name] = pd.Series(found)
print(f"{len(X_test)} unseen emoji")
print(table.T.add_prefix("recall@").round(3).to_string())

# %%
# Other words, which belong to no drawing: the image column is missing, and so are its features. The
# nearest unseen drawings; "fruit" finds nothing sensible, for hardly any name has it and these text
# features know no meanings (those of `skmm.text.TextEncoder` do).
aligner = models["contrastive"]
words = ["a clock", "flag of a country", "man and woman", "smiling cat", "a letter", "fruit"]
queries = encoder.transform(pd.DataFrame({"name": words, "image": [None] * len(words)}))
distances, rows = aligner.kneighbors(queries, Z_test, source="text", target="image", n_neighbors=6)
figure, axes = plt.subplots(len(words), 6, figsize=(7, 7.5), layout="constrained")
for query, row_axes in enumerate(axes):
    row_axes[0].set_ylabel(f"“{words[query]}”", rotation=0, ha="right", va="center", fontsize=12)
    for place, ax in enumerate(row_axes):
        ax.imshow(X_test["image"].iloc[rows[query, place]])
        ax.set_xlabel(f"{1 - distances[query, place]:.2f}")
        ax.set(xticks=[], yticks=[], frame_on=False)
figure.suptitle("Unseen drawings that are nearest to words, and their cosines")

# %%
# And the other way round: which names does the aligner find for drawings that it has not seen?
names = X_train["name"].to_numpy()
pictures = Z_test.filter(like="image__")[:5]
_, named = aligner.kneighbors(pictures, source="image", target="text", n_neighbors=3)
for row, found in enumerate(named):
    print(f"{X_test['name'].iloc[row]}: {', '.join(names[found])}?")
