"""
Can names be translated with the help of a picture?
===================================================

Emoji of people have a name in English, a drawing, and a name in German. A few hundred pairs are far
too few for a decoder, but candidates do: German names of similar emoji, and edits of these, chosen
by what name and drawing lead to expect. How much do the name and the drawing count?
"""

# %%
# A fifth of the emoji is kept for the test.
import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skmm import ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.generation import FusionTextGenerator

emoji = load_openmoji(language="de", image_size=32)
chosen = (emoji.details["category"] == "People & Body") & (emoji.frame.index % 2 == 0)
X_train, X_test, y_train, y_test = train_test_split(
    emoji.data[chosen], emoji.target[chosen], test_size=0.2, random_state=0
)

# %%
# The name is the source, of which parts may be copied, and a modality, as the drawing is. "source"
# has a weight among the modalities.
generator = FusionTextGenerator(
    ModalityTransformer(), source="name", decoder=None, neighbors=6, random_state=0
)
generator.fit(X_train, y_train)
texts = generator.predict(X_test)
print({name: round(weight, 2) for name, weight in generator.modality_weights_.items()})

# %%
# chrF of what was written, from 0 to 1, on one split; with the drawing alone, which leaves the name
# missing; and with the name alone.
without = {"written": X_test, "drawing alone": X_test.assign(name=None)}
without["name alone"] = X_test.assign(image=None)
scores = {kind: round(generator.score(rows, y_test), 2) for kind, rows in without.items()}
print(f"{len(y_test)} unseen emoji, {len(y_train)} in training, chrF: {scores}")

# %%
# Eight of them: the English name, what was written, and by how many nats name ("text" and "source")
# and drawing ("image") made it likelier than for a row of which nothing is known.
parts = generator.contributions(X_test[:8], texts[:8])
nats = {"name": parts["text"] + parts["source"], "drawing": parts["image"]}
figure, axes = plt.subplots(2, 4, figsize=(10, 4.5), layout="constrained")
for i, ax in enumerate(axes.flat):
    ax.imshow(X_test["image"].iloc[i])
    ax.set_title(f"{X_test['name'].iloc[i]}\n“{texts[i]}”", fontsize=8)
    ax.set_xlabel(", ".join(f"{name} {values.iloc[i]:+.1f}" for name, values in nats.items()))
    ax.set(xticks=[], yticks=[], frame_on=False)
figure.suptitle("Names that were written in German, and the nats of name and drawing")
