"""
How do I get from a folder of files to a model?
===============================================

A folder for each class, and in it files that belong together by name: ``food/17.txt`` and
``food/17.png``. Fifteen lines make a table of it, and a model of that.
"""

# %%
# First such a folder, written from emoji. You have yours already.
import tempfile
from pathlib import Path

from skmm.datasets import load_openmoji

X, y = load_openmoji(return_X_y=True)
folder = Path(tempfile.mkdtemp())
for number, (name, picture, group) in enumerate(zip(X["name"], X["image"], y, strict=True)):
    if number % 2 and group in {"Food & Drink", "Symbols", "Travel & Places"}:
        (folder / group).mkdir(exist_ok=True)
        if number % 7:  # every seventh has no text: that is a missing modality
            (folder / group / f"{number}.txt").write_text(name)
        picture.save(folder / group / f"{number}.png")
print(*sorted(path.relative_to(folder) for path in folder.glob("*/*1.*"))[:5], sep="\n")

# %%
# The fifteen lines. Paths of pictures stay paths, which are read when they are needed; texts are
# read here, for a text in a table is the text itself.
import pandas as pd
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from skmm import AdamW, FusionClassifier, ModalityTransformer

files = pd.DataFrame({"picture": [str(path) for path in sorted(folder.glob("*/*.png"))]})
files["class"] = [Path(path).parent.name for path in files["picture"]]
texts = [Path(path).with_suffix(".txt") for path in files["picture"]]
files["text"] = [path.read_text() if path.exists() else None for path in texts]

fusion = FusionClassifier(solver=AdamW(max_iter=20), random_state=0)
model = make_pipeline(ModalityTransformer(), fusion)
columns = files[["picture", "text"]]
results = cross_validate(model, columns, files["class"], cv=3, return_estimator=True)
scores = results["test_score"]
print(f"accuracy {scores.mean():.3f}, sd {scores.std():.3f} over 3 folds")

# %%
# How much each column counts, in each of the three folds.
import matplotlib.pyplot as plt

from skmm.inspection import ModalityWeightsDisplay

print(f"the most frequent class: {files['class'].value_counts(normalize=True).max():.3f}")
ModalityWeightsDisplay.from_cv_results(results)
plt.show()
