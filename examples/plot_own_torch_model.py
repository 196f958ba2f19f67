"""
How do I bring my own torch model, and is it worth it?
======================================================

Any torch module can read a column. Here it is half of an autoencoder, trained on the spot, together
with the default for pictures. The learned weights show how much each counts.
"""

# %%
# A model of your own: it compresses a picture to 256 numbers, from which another network has to
# draw it again. It is trained on the pictures of the training rows, and sees no labels.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import nn

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.encoding import TorchEncoder
from skmm.image import ImageDescriptor, ImagePreprocessor
from skmm.inspection import ModalityWeightsDisplay
from skmm.text import TextDescriptor

X, y = load_openmoji(return_X_y=True)
X, y = X[::4], y[::4]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)


def prepare(picture):
    """Turn a picture, which comes as RGB on white, into what the module takes."""
    pixels = np.asarray(picture.resize((32, 32)), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (3, 32, 32)


torch.manual_seed(0)
encoder = nn.Sequential(
    nn.Conv2d(3, 16, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 16, 4, stride=2, padding=1),
    nn.Flatten(),
)
decoder = nn.Sequential(
    nn.Unflatten(1, (16, 4, 4)),
    nn.ConvTranspose2d(16, 32, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
    nn.ReLU(),
    nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1),
)
pictures = torch.stack([prepare(p) for p in ImagePreprocessor().fit_transform(X_train["image"])])
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.003)
for _ in range(15):
    for batch in pictures[torch.randperm(len(pictures))].split(64):
        loss = nn.functional.mse_loss(decoder(encoder(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"error of a pixel in the last batch: {loss.item() ** 0.5:.2f} of 1")

# %%
# :class:`~skmm.encoding.TorchEncoder` makes an encoder of it like any other: for pipelines and grid
# searches, with a cache whose key holds the weights. A function that makes the module would do as
# well as the module itself.
transformer = ModalityTransformer(
    [
        ("text", TextDescriptor(), "name"),
        ("default", ImageDescriptor(), "image"),
        ("autoencoder", TorchEncoder(encoder, preprocess=prepare, modality="image"), "image"),
    ]
).fit(X_train)
Z_train, Z_test = transformer.transform(X_train), transformer.transform(X_test)

# %%
# 70 % of 475 emoji for training, the rest for the test, two seeds. Of 143 test emoji a difference
# of 0.03 is four: too few to tell whether the autoencoder adds anything.
fitted = {}
for names in ["text|default", "text|default|autoencoder"]:
    A, B = Z_train.filter(regex=f"^({names})__"), Z_test.filter(regex=f"^({names})__")
    fitted[names] = [
        FusionClassifier(interaction=None, solver=AdamW(max_iter=20), random_state=seed)
        for seed in range(2)
    ]
    scores = [model.fit(A, y_train).score(B, y_test) for model in fitted[names]]
    print(f"{names:24} accuracy {np.mean(scores):.3f}, sd {np.std(scores):.3f}")
ModalityWeightsDisplay.from_estimator(fitted["text|default|autoencoder"])
plt.show()
