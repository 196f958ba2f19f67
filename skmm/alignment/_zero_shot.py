"""ZeroShotClassifier: classes that are described in words."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, cast

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.utils.validation import check_is_fitted

from .._data.cells import shorten
from ..image import ImageEncoder, encode_texts
from ._retrieval import TIE, nearest


class ZeroShotClassifier(ClassifierMixin, BaseEstimator):
    """Classify pictures by descriptions of the classes in words, without training.

    A CLIP model was trained to find which text belongs to which picture. Here the texts describe
    classes, and the class whose texts are nearest to a picture, by the cosine, is predicted [1]_.

    Parameters
    ----------
    encoder : ImageEncoder
        The model, of open_clip; those of timm read no texts. Its parameters determine where it
        runs, what is cached, and what becomes of pictures that cannot be read.
    classes : list of str, or dict
        The classes, by names that describe what is to be seen; or for each label, a str or an int,
        a description in words or several.
    templates : str or list of str, default="a photo of a {}."
        What is put around each description, at the ``{}``. ``"{}"`` leaves it as it is. The vectors
        of all descriptions of a class in all templates are averaged.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_embeddings_ : ndarray of shape (n_classes, n_features), float32
        The mean vector of each class, of length 1.
    logit_scale_ : float
        What the model multiplies cosines by: one over its temperature.
    logit_bias_ : float
        What the model adds then; 0 if it has no bias. SigLIP has one.
    encoder_ : ImageEncoder
        The encoder, fitted.
    n_features_in_ : int
        1, the column.

    See Also
    --------
    CrossModalAligner : Learn from your own pairs what belongs together.
    skmm.image.ImageEncoder : Pictures as features for a classifier that is trained.

    Notes
    -----
    Missing pictures, and broken ones if the encoder has ``errors="missing"``, are as likely of any
    class, with a warning. What is longer than the model reads (77 tokens of most CLIP models) is
    cut off, as open_clip does.

    References
    ----------
    .. [1] A. Radford et al., "Learning transferable visual models from natural language
       supervision", ICML 2021.
    .. [2] X. Zhai, B. Mustafa, A. Kolesnikov, L. Beyer, "Sigmoid loss for language image
       pre-training", ICCV 2023.

    Examples
    --------
    With a model from the Hugging Face hub, which is downloaded once::

        encoder = ImageEncoder("ViT-B-32", pretrained="laion2b_s34b_b79k", cache="clip.sqlite")
        model = ZeroShotClassifier(
            encoder,
            {"cat": ["cat", "kitten"], "dog": ["dog", "puppy"], "neither": "thing"},
            templates=["a photo of a {}.", "a drawing of a {}."],
        )
        model.fit(paths).predict(paths)

    A tiny model with random weights in its place, which knows nothing:

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import open_clip, torch
    >>> from skmm.alignment import ZeroShotClassifier
    >>> from skmm.image import ImageEncoder
    >>> vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    >>> text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    >>> config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     weights = open_clip.CLIP(**config).state_dict()
    ...     torch.save(weights, Path(folder, "open_clip_pytorch_model.bin"))
    ...     _ = Path(folder, "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    ...     model = ZeroShotClassifier(ImageEncoder(folder), ["cat", "dog"]).fit(images)
    ...     model.predict_proba(images).shape
    (4, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "encoder": [ImageEncoder],
        "classes": [list, tuple, dict, np.ndarray],
        "templates": [str, list, tuple],
    }

    def __init__(
        self,
        encoder: ImageEncoder,
        classes: Iterable[Any] | Mapping[Any, str | Iterable[str]],
        *,
        templates: str | Iterable[str] = "a photo of a {}.",
    ):
        self.encoder = encoder
        self.classes = classes
        self.templates = templates

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Encode the descriptions of the classes; nothing is learned from pictures.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            The column of pictures, of which only the form is checked.
        y : None
            Ignored.

        Returns
        -------
        ZeroShotClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If the model reads no texts, there are no two classes, a class has no description, or
            the model reads the same in those of two classes.
        """
        labels, descriptions = _read_classes(self.classes)
        templates = _read_templates(self.templates)
        self.encoder_ = cast(ImageEncoder, clone(self.encoder)).fit(X)
        prompts = [
            [template.replace("{}", words) for words in of_class for template in templates]
            for of_class in descriptions
        ]
        texts = encode_texts(self.encoder_, [text for of_class in prompts for text in of_class])
        ends = np.cumsum([len(of_class) for of_class in prompts])
        means = np.stack([vectors.mean(0) for vectors in np.split(texts.vectors, ends[:-1])])
        embeddings = means / np.linalg.norm(means, axis=1, keepdims=True)
        _check_distinct(embeddings, labels, prompts)
        self.class_embeddings_ = embeddings
        self.classes_ = labels
        self.logit_scale_, self.logit_bias_ = texts.scale, texts.bias
        self.n_features_in_ = 1
        return self

    def decision_function(self, X):
        """Compute the logits of the model for each picture and class.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            Pictures, as `ImageEncoder` reads them.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples,)
            ``logit_scale_ * cosine + logit_bias_``, in the order of ``classes_``; of two classes,
            as everywhere in scikit-learn, by how much that of the second is higher. NaN for
            missing pictures.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            Pictures, as `ImageEncoder` reads them.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The softmax of the logits, in the order of ``classes_``. Of a model with a
            logit for each class by itself, such as SigLIP, these are the probabilities given
            that just one class is right, and the bias cancels out.
        """
        return softmax(self._known_logits(X), axis=1)

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            Pictures, as `ImageEncoder` reads them.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Natural logarithms of what `predict_proba` gives.
        """
        return log_softmax(self._known_logits(X), axis=1)

    def predict(self, X):
        """Predict the class of each picture.

        Parameters
        ----------
        X : Series, frame of one column, list or array with samples first
            Pictures, as `ImageEncoder` reads them.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels. Of missing pictures the first of ``classes_``, with a warning.
        """
        logits = self._known_logits(X)  # first, for it raises if nothing is fitted
        return self.classes_[logits.argmax(1)]

    def _logits(self, X) -> np.ndarray:
        """Compute logits (n, n_classes), NaN for missing pictures."""
        check_is_fitted(self)
        vectors = self.encoder_.transform(X).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines = vectors @ self.class_embeddings_.T.astype(np.float64)
        return self.logit_scale_ * cosines + self.logit_bias_

    def _known_logits(self, X) -> np.ndarray:
        """Compute logits, all 0 for missing pictures."""
        logits = self._logits(X)
        missing = np.flatnonzero(np.isnan(logits).any(1))
        if len(missing):
            warnings.warn(
                f"{len(missing)} of {len(logits)} pictures are missing (the first is row "
                f"{missing[0]}); for these each class is as likely as the others.",
                stacklevel=3,
            )
            logits[missing] = 0.0
        return logits

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = False
        return tags


def _read_classes(classes) -> tuple[np.ndarray, list[list[str]]]:
    """Return the labels, sorted, and the descriptions of each."""
    if isinstance(classes, Mapping):
        described = {label: _read_words(label, words) for label, words in classes.items()}
    else:
        wrong = [name for name in classes if not isinstance(name, str)]
        if wrong:
            raise ValueError(
                "classes must be a list of names in words, or a dict of label to words; got "
                f"{wrong[0]!r} in the list."
            )
        described = {name: _read_words(name, name) for name in classes}
        if len(described) < len(classes):
            seen = [label for i, label in enumerate(classes) if label in list(classes)[:i]]
            raise ValueError(f"classes names {seen[0]!r} twice.")
    if len(described) < 2:
        raise ValueError(f"classes must name at least 2 classes, got {list(described)}.")
    try:
        labels = np.unique(list(described))
    except TypeError as e:
        raise ValueError(f"The labels in classes have no order: {list(described)}.") from e
    if set(labels.tolist()) != set(described):
        raise ValueError(f"The labels in classes must be of one type, got {list(described)}.")
    return labels, [described[label] for label in labels.tolist()]


def _check_distinct(embeddings: np.ndarray, labels: np.ndarray, prompts: list[list[str]]) -> None:
    """Raise if two classes are one to the model, of which one would never be predicted."""
    distances, found = nearest(embeddings, embeddings, 2)
    equal = np.flatnonzero(distances[:, 1] <= TIE)
    if len(equal):
        pair = sorted(found[equal[0]].tolist())
        first, second = labels[pair].tolist()
        texts = " and ".join(shorten(prompts[i]) for i in pair)
        raise ValueError(
            f"classes describes {first!r} and {second!r} alike: the model reads the same in "
            f"{texts}, and would never predict one of them. Give them different descriptions, or "
            "merge them; case, blanks, and what is longer than the model reads make no difference."
        )


def _read_words(label, words) -> list[str]:
    """Return the descriptions of a class."""
    texts = [words] if isinstance(words, str) else words
    texts = list(texts) if isinstance(texts, Iterable) else []
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(
            f"Class {label!r} needs a description in words, or a list of them, got {words!r}."
        )
    return texts


def _read_templates(templates) -> list[str]:
    templates = [templates] if isinstance(templates, str) else list(templates)
    wrong = [text for text in templates if not isinstance(text, str) or "{}" not in text]
    if wrong or not templates:
        raise ValueError(
            'Each of templates needs a "{}" where the description goes, such as "a photo of a '
            f'{{}}."; got {wrong[0] if wrong else templates!r}.'
        )
    return templates
