"""Learning across modalities: find one by another, or name it, without labels."""

from ._aligner import CrossModalAligner
from ._scorers import mean_average_precision, recall_at_k
from ._zero_shot import ZeroShotClassifier

__all__ = ["CrossModalAligner", "ZeroShotClassifier", "mean_average_precision", "recall_at_k"]
