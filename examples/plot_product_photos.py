"""
Does a photo add to a product's title and attributes?
=====================================================

In which season is a product sold? A shop's table has its photo, its title, and numbers and
categories: the default transformer tells them apart and encodes each.
"""

# %%
# Products of a fashion shop, from the Kaggle data set paramaggarwal/fashion-product-images-small:
# "fashion.parquet" has its table and titles, "images.zip" its photos. Any table of yours with a
# column of texts and one of photos will do; a price would stand where the year does.
import os
import sys
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import FusionClassifier, ModalityTransformer, infer_modalities
from skmm.inspection import ModalityAblationDisplay, ModalityWeightsDisplay

folder = Path(os.environ.get("SKMM_SHARED_DATA", "shared/data"), "fashion_small")
if not folder.exists():
    print(f"This example needs {folder}, which does not exist; its first lines say what it holds.")
    sys.exit()
products = pd.read_parquet(folder / "fashion.parquet").iloc[::8].reset_index(drop=True)
with zipfile.ZipFile(folder / "images.zip") as archive:
    files = {name.split("/")[-1]: name for name in archive.namelist()}
    products["photo"] = [archive.read(files[f"{number}.jpg"]) for number in products["id"]]
X = products[["photo", "title", "gender", "usage", "baseColour", "articleType", "year"]]
y, train = products["season"], products["split"] == "train"
print(infer_modalities(X)[["modality", "kind", "example"]].to_string(max_colwidth=40))

# %%
# The default transformer picks an encoder for each column: bytes of a JPEG, a text, categories, a
# number.
encoder = ModalityTransformer().fit(X[train])
Z_train, Z_test = encoder.transform(X[train]), encoder.transform(X[~train])
y_train, y_test = y[train], y[~train]
accuracy = {"always the most frequent season": (y_test == y_train.mode()[0]).mean()}
regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
for name in ["text", "image", "tabular", "text|image|tabular"]:
    A, B = Z_train.filter(regex=f"^({name})__"), Z_test.filter(regex=f"^({name})__")
    accuracy[f"regression, {name}"] = regression.fit(A, y_train).score(B, y_test)
models = [FusionClassifier(random_state=seed).fit(Z_train, y_train) for seed in range(2)]
scores = [model.score(Z_test, y_test) for model in models]
accuracy[f"skmm (2 seeds, sd {np.std(scores):.3f})"] = np.mean(scores)
print(f"{train.sum()} products for training, {(~train).sum()} for the test")
print(pd.Series(accuracy, name="accuracy").round(3).to_frame().to_string())

# %%
# The accuracy with each subset of the modalities, of one fitted model. The photo adds nothing
# that title and attributes do not tell: with it and without it as many products are right. Alone
# it is far better than guessing, so it helps where the rest of a row is missing.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
ModalityWeightsDisplay.from_estimator(models, ax=left)
ModalityAblationDisplay.from_estimator(models[0], Z_test, y_test, ax=right)
plt.show()
