"""
What gives an opinion away: words, voice or face?
=================================================

2,199 utterances of people who talk about films, from the data set CMU-MOSI: features of what they
say, of how they sound and of what they look like. Is the opinion positive or negative?
"""

# %%
# The features come from
# github.com/soujanyaporia/contextual-utterance-level-multimodal-sentiment-analysis and may not be
# passed on: "mosi.npz" holds its arrays in the rows of its transcripts.
import os
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmm import FusionClassifier, LateFusionClassifier
from skmm.inspection import ModalityAblationDisplay, ModalityWeightsDisplay

path = Path(os.environ.get("SKMM_SHARED_DATA", "shared/data"), "mosi_utterance", "mosi.npz")
if not path.exists():
    print(f"This example needs {path}, which does not exist; its first lines say what it holds.")
    sys.exit()
data = np.load(path, allow_pickle=True)
blocks = {"words": data["X_text"], "voice": data["X_audio"], "face": data["X_video"]}
X = pd.concat([pd.DataFrame(b).add_prefix(f"{name}__") for name, b in blocks.items()], axis=1)
y = np.where(data["y"] == 1, "positive", "negative")
train, videos = data["split"] == "train", data["video_id"]

# %%
# The official split: no speaker is in both halves. ``groups`` names the video of each row, so that
# the estimator learns its weights on rows of other videos, too.
accuracy = {"always positive": np.mean(y[~train] == "positive")}
columns_of = {name: [column for column in X if column.startswith(name)] for name in blocks}
regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
for name, columns in {**columns_of, "all columns": list(X)}.items():
    regression.fit(X.loc[train, columns], y[train])
    accuracy[f"regression, {name}"] = regression.score(X.loc[~train, columns], y[~train])
models = [
    FusionClassifier(random_state=seed).fit(X[train], y[train], groups=videos[train])
    for seed in range(2)
]
scores = [model.score(X[~train], y[~train]) for model in models]
accuracy[f"FusionClassifier (2 seeds, sd {np.std(scores):.3f})"] = np.mean(scores)
late = LateFusionClassifier([(name, regression, columns_of[name]) for name in blocks])
accuracy["LateFusionClassifier"] = late.fit(X[train], y[train]).score(X[~train], y[~train])
print(pd.Series(accuracy, name="test accuracy").round(3).to_frame().to_string())

# %%
# The words. No model of these features does much better than a regression on the words alone, and
# fusion is no exception. The face has more weight than it deserves: its features, as those of the
# words, were trained on the labels of the training rows, which they reproduce. On new people they
# do not.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
ModalityWeightsDisplay.from_estimator(models, ax=left)
ModalityAblationDisplay.from_estimator(models[0], X[~train], y[~train], ax=right)
plt.show()
