"""
Which German name is meant, by a word and a picture?
====================================================

Of a smiley's English name only the last word is given, such as "face" or "heart", which many share;
its drawing has to say which one is meant. What is written is the German name. A hundred pairs are
far too few for a decoder, but candidates do: German names of similar smileys, and edits of these,
chosen by what word and drawing lead to expect. How much does each of them count?
"""

# %%
# A quarter of the smileys is kept for the test.
from textwrap import fill

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skmm import ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.generation import FusionTextGenerator

emoji = load_openmoji(language="de", image_size=32)
chosen = emoji.details["category"] == "Smileys & Emotion"
X = emoji.data[chosen].assign(name=lambda data: data["name"].str.split().str[-1])
X = X.rename(columns={"name": "word"})
X_train, X_test, y_train, y_test = train_test_split(
    X, emoji.target[chosen], test_size=0.25, random_state=0
)

# %%
# The word is the source, of which parts may be copied, and a modality, as the drawing is. "source"
# has a weight among the modalities.
generator = FusionTextGenerator(
    ModalityTransformer(overrides={"word": "text"}),
    source="word",
    neighbors=6,
    random_state=0,
)
generator.fit(X_train, y_train)
texts = generator.predict(X_test)
print({name: round(weight, 2) for name, weight in generator.modality_weights_.items()})

# %%
# chrF of what was written, from 0 to 1, on one split; with the drawing alone, which leaves the word
# missing; and with the word alone.
rows = {
    "word and drawing": X_test,
    "drawing alone": X_test.assign(word=None),
    "word alone": X_test.assign(image=None),
}
scores = {kind: round(generator.score(X, y_test), 2) for kind, X in rows.items()}
print(f"{len(y_test)} unseen smileys, {len(y_train)} in training, chrF: {scores}")

# %%
# Eight of them: the word, the right name, what was written, and by how many nats word ("text" and
# "source") and drawing ("image") made it likelier than for a row of which nothing is known.
parts = generator.contributions(X_test[:8], texts[:8])
nats = {"word": parts["text"] + parts["source"], "drawing": parts["image"]}
figure, axes = plt.subplots(2, 4, figsize=(10, 5), layout="constrained")
for i, ax in enumerate(axes.flat):
    ax.imshow(X_test["image"].iloc[i])
    lines = X_test["word"].iloc[i], y_test.iloc[i], f"“{texts[i]}”"
    ax.set_title("\n".join(fill(line, 28) for line in lines), fontsize=8)
    ax.set_xlabel(", ".join(f"{name} {values.iloc[i]:+.1f}" for name, values in nats.items()))
    ax.set(xticks=[], yticks=[], frame_on=False)
figure.suptitle("Word, right name and “written name”, and the nats of word and drawing")
