"""
How does a model that works on one machine run on many?
=======================================================

This script starts Ray on this machine, with three processors. On a cluster use
``ray.init("auto")`` instead, and paths that all machines can reach; nothing else changes. It
needs ``pip install '.[ray,image,datasets]'`` and takes about a minute.
"""

# %%
# 1,898 emoji, their names and files of their pictures, in Parquet and in random order.
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import ray
from ray.data.expressions import col
from ray.train import RunConfig, ScalingConfig
from ray.util.joblib import register_ray
from sklearn.model_selection import GridSearchCV

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.distributed import encode, fit
from skmm.image import ImageDescriptor
from skmm.text import TextDescriptor

ray.init(num_cpus=3, include_dashboard=False)
folder = Path(tempfile.mkdtemp())
X, y = load_openmoji(return_X_y=True)
for number, picture in enumerate(X["image"]):
    picture.save(folder / f"{number}.png")
X["image"] = [str(folder / f"{number}.png") for number in range(len(X))]
train = np.random.default_rng(0).random(len(X)) < 0.75
X = X.assign(id=range(len(X)), group=y, train=train).sample(frac=1, random_state=0)
X.to_parquet(folder / "emoji.parquet", row_group_size=250)

# %%
# A transformer is fitted to rows that fit in memory, and two workers encode all rows. A second call
# finds that every row is done.
encoders = [("text", TextDescriptor(), "name"), ("image", ImageDescriptor(cache=None), "image")]
transformer = ModalityTransformer(encoders).fit(X.loc[X["train"], ["name", "image"]])
vectors = str(folder / "vectors")
for _ in range(2):
    n_rows = encode(
        ray.data.read_parquet(str(folder / "emoji.parquet")),
        transformer,
        vectors,
        key="id",
        keep=["group", "train"],
        n_workers=2,
        rows_per_partition=256,
    )
    print(f"{n_rows} rows encoded")

# %%
# These vectors fit in memory, so that a grid search on the cluster takes them as a frame.
frame = pd.read_parquet(vectors)
train, group = frame.pop("train"), frame.pop("group")
register_ray()
grid = {"modality_weights": [None, "uniform"]}
with joblib.parallel_config("ray"):
    fusion = FusionClassifier(solver=AdamW(max_iter=20), random_state=0)
    search = GridSearchCV(fusion, grid, cv=3, n_jobs=2).fit(frame[train], group[train])
print(f"{search.best_params_}: {search.score(frame[~train], group[~train]):.3f}")

# %%
# Where they do not, two workers of Ray Train learn from the files, each from its share of each
# batch.
model = fit(
    FusionClassifier(random_state=0),
    ray.data.read_parquet(vectors).filter(expr=col("train")).drop_columns(["id", "train"]),
    "group",
    n_epochs=20,
    batch_size=512,
    scaling_config=ScalingConfig(num_workers=2),
    run_config=RunConfig(storage_path=str(folder / "runs")),
)
print(f"{model.modality_weights_}: {model.score(frame[~train], group[~train]):.3f}")
ray.shutdown()
