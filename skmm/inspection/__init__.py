"""What a fitted model makes of each modality: Displays, and a report; and whether fusing pays."""

from ._ablation import ModalityAblationDisplay
from ._contributions import ContributionsDisplay
from ._embedding import EmbeddingDisplay
from ._leaderboard import leaderboard
from ._leaderboard_display import LeaderboardDisplay
from ._path import FusionPathDisplay
from ._report import modality_report
from ._report_display import ModalityReportDisplay
from ._terms import LossTermsDisplay
from ._weights import ModalityWeightsDisplay
from ._within import contributions_within
from ._within_display import ContributionsWithinDisplay

__all__ = [
    "ContributionsDisplay",
    "ContributionsWithinDisplay",
    "EmbeddingDisplay",
    "FusionPathDisplay",
    "LeaderboardDisplay",
    "LossTermsDisplay",
    "ModalityAblationDisplay",
    "ModalityReportDisplay",
    "ModalityWeightsDisplay",
    "contributions_within",
    "leaderboard",
    "modality_report",
]
