"""More than one machine: encode a Ray Dataset into Parquet files, and learn from one.

A grid search on a cluster needs nothing of this: ``ray.util.joblib.register_ray()``, and then
``with joblib.parallel_config("ray"): search.fit(X, y)``.
"""

from ._encoding import encode
from ._training import fit

__all__ = ["encode", "fit"]
