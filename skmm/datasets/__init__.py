"""Data sets to learn and to test with."""

from skmm.datasets._openmoji import load_openmoji
from skmm.datasets._synthetic import make_multimodal_classification

__all__ = ["load_openmoji", "make_multimodal_classification"]
