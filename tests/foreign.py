"""A classifier of a package that nobody here knows."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Foreign(ClassifierMixin, BaseEstimator):
    """Predicts all classes alike: skl2onnx cannot convert it, and to load it is to run its code."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return self.classes_[np.zeros(len(X), dtype=int)]
