"""From a frame of raw columns to one frame of features, named by modality."""

from __future__ import annotations

import re
from copy import copy
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.utils.validation import check_is_fitted

from .._data.cells import shorten
from .._data.frames import as_pandas
from .._html import name_modality
from ..audio import AudioDescriptor
from ..image import ImageDescriptor
from ..text import TextDescriptor
from ..video import VideoEncoder
from ._inference import infer_modalities
from ._tabular import TabularEncoder

_DEFAULT_ENCODERS = {
    "text": TextDescriptor,
    "image": ImageDescriptor,
    "audio": AudioDescriptor,
    "video": VideoEncoder,
    "tabular": TabularEncoder,
}


class ModalityTransformer(ColumnTransformer):
    """Encode raw columns, each by the encoder of its modality, into one frame of features.

    A `ColumnTransformer` whose output keeps the names of the modalities: a DataFrame of float32
    with columns ``modality__feature``, from which `FusionClassifier` reads which features belong
    together.

    Parameters
    ----------
    transformers : "auto" or list of tuple, default="auto"
        Tuples of (modality, encoder, columns), as in `ColumnTransformer`. "auto" infers the
        modality of each column with `infer_modalities` and uses encoders that need no download:
        `TextDescriptor`, `ImageDescriptor`, `AudioDescriptor`, `VideoEncoder` (8 frames, no
        sound) and `TabularEncoder`. All tabular columns are one modality, "tabular"; one column of
        text, images, sounds or videos is the modality "text", "image", "audio" or "video"; of
        several, each is a modality, named "text_COLUMN" and so on.
    n_jobs : int, default=None
        Number of encoders that work at the same time.
    verbose : bool, default=False
        Whether to print the time that each encoder took.

    Attributes
    ----------
    transformers_ : list of tuple
        The fitted encoders, as (modality, encoder, columns).
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen in `fit`, if all are strings.

    See Also
    --------
    infer_modalities : See what "auto" sees.
    FusionClassifier : Learn from the features.

    Notes
    -----
    The columns of a frame are found by name; their order does not matter, and columns that `fit`
    did not see are ignored. The output is a pandas frame, for a polars frame or an array as well:
    the names are how the modalities travel.

    "auto" looks anew in each `fit`. On the fewer rows of a fold of cross-validation, a column of
    many categories can look like texts, and the modalities have other names than on all rows: give
    such a column the pandas type "category", or name the encoders.

    With "auto" a broken picture or sound is an error that names its row. To count it as missing
    instead, name the encoders: ``("image", ImageDescriptor(errors="missing"), "photo")``.

    For skops a fitted transformer needs its own class and those of its encoders as ``trusted``:
    "skmm.compose._transformer.ModalityTransformer", and with "auto"
    "skmm.compose._tabular.TabularEncoder",
    "skmm.text._descriptor.TextDescriptor", "skmm.image._descriptor.ImageDescriptor",
    "skmm.audio._descriptor.AudioDescriptor", "skmm.video._encoder.VideoEncoder" and "numpy.dtype".

    Examples
    --------
    >>> import pandas as pd
    >>> from skmm import ModalityTransformer
    >>> from skmm.text import TextDescriptor
    >>> X = pd.DataFrame({"says": ["Meow!", "Woof!", "Moo!"], "age": [3, 5, 4]})
    >>> encoder = ModalityTransformer(
    ...     [("text", TextDescriptor(n_components=1), "says"), ("tabular", "passthrough", ["age"])]
    ... )
    >>> encoder.fit_transform(X).columns.to_list()
    ['text__0', 'tabular__age']
    >>> ModalityTransformer().fit(X).named_transformers_["tabular"]
    TabularEncoder()
    """

    # Parameters of ColumnTransformer that are no choice here.
    remainder = "drop"
    sparse_threshold = 0
    transformer_weights = None
    verbose_feature_names_out = True
    force_int_remainder_cols = "deprecated"

    def __init__(
        self,
        transformers: str | list[tuple] = "auto",
        *,
        n_jobs: int | None = None,
        verbose: bool = False,
    ):
        self.transformers = transformers
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X, y=None, **params):
        """Fit the encoders.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Raw columns.
        y : array-like of shape (n_samples,), default=None
            Targets, for encoders that use them.
        **params : dict
            Parameters routed to the encoders, if metadata routing is enabled.

        Returns
        -------
        ModalityTransformer
            The fitted transformer.
        """
        self.fit_transform(X, y, **params)
        return self

    def fit_transform(self, X, y=None, **params):
        """Fit the encoders and encode the columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Raw columns.
        y : array-like of shape (n_samples,), default=None
            Targets, for encoders that use them.
        **params : dict
            Parameters routed to the encoders, if metadata routing is enabled.

        Returns
        -------
        DataFrame of shape (n_samples, n_features), float32
            The features.

        Raises
        ------
        ValueError
            If a column fits no modality.
        """
        X = as_pandas(X)
        if isinstance(self.transformers, str):
            self._inferred = self._infer(X)
        explicit = self._explicit()
        explicit._check_tuples()
        encoded = super(ModalityTransformer, explicit).fit_transform(X, y, **params)
        for name, value in vars(explicit).items():
            if name != "transformers":
                setattr(self, name, value)
        self._names = self.get_feature_names_out()
        return self._named(encoded, X)

    def transform(self, X, **params):
        """Encode the columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_columns)
            Raw columns.
        **params : dict
            Parameters routed to the encoders, if metadata routing is enabled.

        Returns
        -------
        DataFrame of shape (n_samples, n_features), float32
            The features.
        """
        check_is_fitted(self)
        X = as_pandas(X)
        if hasattr(self, "feature_names_in_") and isinstance(X.columns, pd.RangeIndex):
            raise ValueError(
                "ModalityTransformer was fitted to a frame, and got columns without names: give a "
                f"frame with the columns {self.feature_names_in_.tolist()}."
            )
        try:
            encoded = super().transform(X, **params)
        except ValueError as e:
            if not str(e).startswith("columns are missing"):
                raise
            raise ValueError(
                f"{e}, which fit saw. A column of None, such as X['photo'] = None, says that there "
                "is nothing to know of it."
            ) from e
        return self._named(encoded, X)

    def set_output(self, *, transform=None):
        """Set the container of the features; encoders keep theirs.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            "default" and "pandas" give a pandas frame. None changes nothing.

        Returns
        -------
        ModalityTransformer
            The transformer itself.
        """
        return TransformerMixin.set_output(self, transform=transform)

    def get_metadata_routing(self):
        """Get the metadata routing of this object.

        Returns
        -------
        MetadataRouter
            Where metadata go.
        """
        return super(ModalityTransformer, self._explicit()).get_metadata_routing()

    def _sk_visual_block_(self):
        # "auto" before fit has no parts: scikit-learn catches the error, and draws one box
        block: Any = super(ModalityTransformer, self._explicit())._sk_visual_block_()
        pairs = zip(block.names, block.name_details, strict=True)
        block.names = [name_modality(name, columns) for name, columns in pairs]
        return block

    def _explicit(self) -> ModalityTransformer:
        """Copy self with the list that "auto" stands for, since ColumnTransformer reads lists.

        A copy, for the parameter of an estimator may not change, not even for a moment: other
        threads may be using it.
        """
        explicit = copy(self)
        if isinstance(self.transformers, str):
            explicit.transformers = getattr(self, "_inferred", [])
        return explicit

    def _check_tuples(self) -> None:
        steps = self.transformers
        if not isinstance(steps, list | tuple) or any(
            not isinstance(step, list | tuple) or len(step) != 3 for step in steps
        ):
            raise ValueError(
                'transformers must be "auto" or a list of (modality, encoder, columns), got '
                f"{steps!r}."
            )

    def _infer(self, X: pd.DataFrame) -> list[tuple]:
        if self.transformers != "auto":
            raise ValueError(
                'transformers must be "auto" or a list of (modality, encoder, columns), got '
                f"{self.transformers!r}."
            )
        found = infer_modalities(X)
        by_name = all(isinstance(column, str) for column in X.columns)
        columns = np.array(X.columns if by_name else range(X.shape[1]), dtype=object)
        steps = []
        for modality in found["modality"].unique():
            chosen = columns[(found["modality"] == modality).to_numpy()].tolist()
            encoder = _DEFAULT_ENCODERS[modality]
            if modality == "tabular":
                steps.append((modality, encoder(), chosen))
            elif len(chosen) == 1:
                steps.append((modality, encoder(), chosen[0]))
            else:
                names = _name_modalities(modality, chosen)
                steps += [(n, encoder(), c) for n, c in zip(names, chosen, strict=True)]
        return steps

    def _named(self, encoded, X: pd.DataFrame) -> pd.DataFrame:
        try:
            values = np.asarray(encoded, dtype=np.float32)
        except (TypeError, ValueError) as e:
            raise ValueError(self._describe_not_numeric(np.asarray(encoded, dtype=object))) from e
        return pd.DataFrame(values, columns=self._names, index=X.index, copy=False)

    def _describe_not_numeric(self, encoded: np.ndarray) -> str:
        for modality, columns in self.output_indices_.items():
            for value in encoded[:, columns].flat:
                try:
                    float(value)
                except (TypeError, ValueError):
                    return (
                        f"Modality {modality!r} is not encoded as numbers: its encoder "
                        f"{dict(self.named_transformers_)[modality]!r} gives {shorten(value)}. "
                        "Name one that gives numbers, such as OneHotEncoder() for categories or "
                        "TextDescriptor() for texts."
                    )
        return "The encoders give values that are not numbers."

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        if self.transformers == "auto":
            tags.input_tags.allow_nan = True
            tags.input_tags.string = True
        return tags


def _name_modalities(modality: str, columns: list) -> list[str]:
    """Name a modality for each column, none twice and none with "__", which separates."""
    names: list[str] = []
    for column in columns:
        name = re.sub("_{2,}", "_", f"{modality}_{column}").rstrip("_")
        equal = [known for known in names if known == name or known.startswith(f"{name}_no")]
        names.append(f"{name}_no{len(equal) + 1}" if name in names else name)
    return names
