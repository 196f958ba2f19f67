"""
Can names be translated by what a picture shows?
================================================

Emoji have a name in English, a drawing, and a name in German. With a thousand pairs, far too few for
a decoder, candidates do: names of similar emoji and edits of these, among which the character n-grams
that name and drawing lead to expect choose. What do the name and the drawing each say?
"""

# %%
# Names and drawings of animals, food and other things; a fifth of them is not trained on.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import train_test_split

from skmm import ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.generation import FusionTextGenerator

emoji = load_openmoji(language="de", image_size=32)
print(emoji.frame.head())
