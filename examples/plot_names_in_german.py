"""
Can names be translated with the help of a picture?
===================================================

Emoji of people have a name in English, a drawing, and a name in German. A few hundred pairs are far
too few for a decoder, but candidates do: German names of similar emoji, and edits of these, chosen
by what name and drawing lead to expect. How much do the name and the drawing count?
"""

# %%
# A fifth of the emoji is kept for the test.
import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skmm import ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.generation import FusionTextGenerator

emoji = load_openmoji(language="de", image_size=32)
chosen = (emoji.details["category"] == "People & Body") & (emoji.frame.index % 2 == 0)
X_train, X_test, y_train, y_test = train_test_split(
    emoji.data[chosen], emoji.target[chosen], test_size=0.2, random_state=0
)

# %%
# The name is the source, of which parts may be copied, and a modality, as the drawing is. "source"
# has a weight among the modalities.
generator = FusionTextGenerator(
    ModalityTransformer(), source="name", decoder=None, neighbors=6, random_state=0
)
generator.fit(X_train, y_train)
texts = generator.predict(X_test)
print({name: round(weight, 2) for name, weight in generator.modality_weights_.items()})

# %%
# chrF, from 0 to 1, of one split: of the German names that were written, and of the English ones.
from skmm.generation import chrf_scorer  # noqa: E402
