"""
Does a photo add to a product's title and attributes?
=====================================================

In which season is a product sold? A shop's table has its photo, its title, and numbers and
categories: the default transformer tells them apart and encodes each.
"""

# %%
# The shop is made up. Its photos are OpenMoji's drawings of clothes, in front of a wall whose
# colour goes with the season, more or less; some articles and some words of the titles do so too.
# Any table of yours with a column of texts and one of photos will do.
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import AdamW, FusionClassifier, ModalityTransformer, infer_modalities
from skmm.datasets import load_openmoji
from skmm.inspection import ModalityAblationDisplay, ModalityWeightsDisplay

ALWAYS = ["jeans", "dress", "t-shirt", "handbag", "athletic shoe", "mans shoe", "necktie"]
SHOP = {  # of each season: its articles, words and the colour of the wall
    "spring": (["kimono", "flat shoe"], ["light", "floral"], (150, 210, 140)),
    "summer": (["bikini", "shorts"], ["light", "cotton"], (250, 220, 120)),
    "fall": (["hiking boot", "billed cap"], ["warm", "leather"], (210, 140, 90)),
    "winter": (["scarf", "gloves"], ["warm", "wool"], (140, 170, 220)),
}
rng = np.random.default_rng(0)
emoji = load_openmoji(image_size=64).frame.drop_duplicates("name").set_index("name")["image"]
rows = []
for season in rng.choice(list(SHOP), 600):
    articles, words, colour = SHOP[season]
    article = rng.choice(ALWAYS if rng.random() < 0.7 else articles)
    wall = tuple(np.clip(colour + rng.normal(0, 50, 3), 0, 255).astype(int))
    photo = Image.new("RGB", (64, 64), wall)
    photo.paste(emoji[article], mask=emoji[article])
    photo.save(file := BytesIO(), "JPEG")
    word = rng.choice(words if rng.random() < 0.5 else ["new", "slim", "classic"])
    title = f"{rng.choice(['Nord', 'Sole', 'Acme'])} {word} {article}, model {rng.integers(100)}"
    price = np.exp(rng.normal(3.5 + 0.5 * (season == "winter"), 0.5))
    usage = rng.choice(["casual", "formal", "sport"])
    rows.append([file.getvalue(), title, usage, rng.choice(["men", "women"]), price, season])
X = pd.DataFrame(rows, columns=["photo", "title", "usage", "gender", "price", "season"])
y = X.pop("season")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=200, stratify=y, random_state=0)
print(infer_modalities(X)[["modality", "kind", "example"]].to_string(max_colwidth=40))

figure, axes = plt.subplots(1, 6, figsize=(9, 1.8), layout="constrained")
for ax, file, season in zip(axes, X["photo"], y, strict=False):
    ax.imshow(Image.open(BytesIO(file)))
    ax.set_title(season)
    ax.axis("off")
figure.supxlabel("Drawings: OpenMoji, CC BY-SA 4.0", fontsize="small")

# %%
# The default transformer picks an encoder for each column: bytes of a JPEG, a text, categories, a
# number.
encoder = ModalityTransformer()
Z_train, Z_test = encoder.fit_transform(X_train, y_train), encoder.transform(X_test)
accuracy = {"always the most frequent season": (y_test == y_train.mode()[0]).mean()}
regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
for name in ["text", "image", "tabular", "text|image|tabular"]:
    A, B = Z_train.filter(regex=f"^({name})__"), Z_test.filter(regex=f"^({name})__")
    accuracy[f"regression, {name}"] = regression.fit(A, y_train).score(B, y_test)
parameters = {"interaction": None, "solver": AdamW(max_iter=20)}
models = [
    FusionClassifier(**parameters, random_state=seed).fit(Z_train, y_train) for seed in range(2)
]
scores = [model.score(Z_test, y_test) for model in models]
accuracy[f"skmm (2 seeds, sd {np.std(scores):.3f})"] = np.mean(scores)
print(pd.Series(accuracy, name="accuracy").round(3).to_frame().to_string())

# %%
# The weights, and the accuracy with each subset of the modalities, of one fitted model: what the
# photo adds is the step from "text + tabular" to all three.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
ModalityWeightsDisplay.from_estimator(models, ax=left)
ModalityAblationDisplay.from_estimator(models[0], Z_test, y_test, ax=right)
plt.show()
