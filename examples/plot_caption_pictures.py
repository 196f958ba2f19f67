"""
Can a decoder learn to say what is in a picture and in its sound?
=================================================================

Small pictures of two shapes, each with a tone that is high or low. A Transformer that is trained
from nothing reads both, fused into a prefix, and writes captions such as "a red circle beside a
blue square, beeping". How much does each modality count?
"""

# %%
# The pictures are drawn here; of the tone its pitch is known. Half of the rows have none, which is
# a missing modality, and their captions say "silent".
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmm import AdamW, ModalityTransformer
from skmm.generation import FusionTextGenerator, TextTransformer

COLOURS, SHAPES = ["red", "green", "blue"], ["circle", "square"]


def draw(things):
    picture = Image.new("RGB", (24, 12), "white")
    for x, (colour, shape) in zip((1, 13), things, strict=True):
        pen = ImageDraw.Draw(picture)
        pen_of = pen.ellipse if shape == "circle" else pen.rectangle
        pen_of((x, 1, x + 9, 10), fill=colour)
    return picture


def make_rows(n, seed):
    rng = np.random.default_rng(seed)
    rows, captions = [], []
    for _ in range(n):
        things = [(rng.choice(COLOURS), rng.choice(SHAPES)) for _ in range(2)]
        is_heard, is_high = rng.random(2) < 0.5
        pitch = 880.0 if is_high else 220.0
        tone = pitch + rng.normal(0, 20) if is_heard else np.nan
        (a, b), (c, d) = things
        sound = ("beeping" if is_high else "humming") if is_heard else "silent"
        rows.append({"picture": draw(things), "pitch": tone})
        captions.append(f"a {a} {b} beside a {c} {d}, {sound}")
    return pd.DataFrame(rows), np.array(captions, dtype=object)


X_train, y_train = make_rows(600, seed=0)
X_test, y_test = make_rows(200, seed=1)

# %%
# Raw columns go in: the encoders are a parameter. The pixels are small enough to be features.


def flatten(pictures):
    return np.stack([np.asarray(picture).ravel() / 255 for picture in pictures.iloc[:, 0]])


encoders = ModalityTransformer(
    [
        ("image", FunctionTransformer(flatten), ["picture"]),
        ("tone", StandardScaler(), ["pitch"]),
    ]
)
generator = FusionTextGenerator(
    encoders,
    decoder=TextTransformer(n_layers=1, width=64, dropout=0.0),
    neighbors=0,
    solver=AdamW(0.005, max_iter=20),
    random_state=0,
).fit(X_train, y_train)
texts = generator.predict(X_test)
print(f"{len(y_test)} new rows: {np.mean(texts == y_test):.2f} of the captions are right,")
print(f"chrF {generator.score(X_test, y_test):.2f}")

# %%
# Four of them. The bars are nats: by how much the picture and the tone made the caption likelier.
parts = generator.contributions(X_test[:4], texts[:4])
figure, axes = plt.subplots(2, 4, figsize=(10, 3.5), layout="constrained", height_ratios=[1, 1.4])
for i in range(4):
    axes[0, i].imshow(X_test["picture"].iloc[i])
    axes[0, i].set_title(texts[i].replace(" beside", "\nbeside"), fontsize=8)
    axes[0, i].axis("off")
    axes[1, i].barh(["image", "tone"], parts[["image", "tone"]].iloc[i], color=["C0", "C1"])
    axes[1, i].set_xlim(0, parts[["image", "tone"]].to_numpy().max() * 1.1)
    axes[1, i].set_xlabel("nats")
figure.suptitle("Captions of new rows, and what each modality says for them")

# %%
# Which caption fits better? The likelihood of given texts ranks them.
row = X_test[:1].reset_index(drop=True)
for text in (y_test[0], y_test[1], "a red circle, silent"):
    print(f"{generator.log_likelihood(row, [text])[0]:8.2f} nats: {text}")
