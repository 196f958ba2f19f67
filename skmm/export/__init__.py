"""Fitted models outside of skmm: as ONNX, with a model card, in a folder or on the Hub."""

from ._card import model_card
from ._folder import load_pretrained, push_to_hub, save_pretrained
from ._onnx import to_onnx

__all__ = ["load_pretrained", "model_card", "push_to_hub", "save_pretrained", "to_onnx"]
