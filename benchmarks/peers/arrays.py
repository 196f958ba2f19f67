"""What the peers' models for arrays have in common; no user's code."""

import numpy as np
from sklearn.model_selection import GridSearchCV


def search_c(model):
    """Choose the C of the regression that a pipeline ends in, by three folds of training rows."""
    return GridSearchCV(model, {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}, cv=3)


def split(X, widths):
    """Split columns into one array for each modality."""
    return np.split(X, np.cumsum(list(widths.values()))[:-1], axis=1)
