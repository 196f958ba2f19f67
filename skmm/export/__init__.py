"""Fitted models outside of skmm: as ONNX, with a model card, in a folder or on the Hub."""

from ._onnx import to_onnx

__all__ = ["to_onnx"]
