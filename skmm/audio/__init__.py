"""Sounds as features, and what prepares them."""

from ._preparing import AudioPreprocessor

__all__ = ["AudioPreprocessor"]
