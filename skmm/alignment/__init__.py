"""Learning across modalities: find one by another, without labels."""

from ._aligner import CrossModalAligner
from ._scorers import mean_average_precision, recall_at_k

__all__ = ["CrossModalAligner", "mean_average_precision", "recall_at_k"]
