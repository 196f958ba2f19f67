"""From a frame of raw columns to one frame of features, named by modality."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import get_config
from sklearn.base import TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.utils.validation import check_is_fitted

from .._data.cells import shorten
from .._data.columns import number_features
from .._data.frames import as_pandas
from .._html import name_modality
from .._warnings import warn_user
from ._roots import check_root, find_files, prepend_root
from ._schema import OF_FILES, find_schema, make_steps, read_schema


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
        several, each is a modality, named "text_COLUMN" and so on. A column of vectors, such as
        embeddings that were computed elsewhere, is stacked by `VectorEncoder`.
    schema : DataFrame or dict of column to modality, default=None
        What `infer_modalities` returned, with other modalities where you edited them. "auto" is
        then bound to these, instead of to the rows of each `fit`; a tabular column still is
        numbers, dates or categories by its values in `fit`. The modality "drop" leaves a column
        out.
    overrides : dict of column to str or transformer, default=None
        Exceptions from "auto" and ``schema``: the modality of a column, or its encoder. A tabular
        column with an encoder of its own is a modality of its own, "tabular_COLUMN"; one that
        fits no modality is called by its name.
    errors : {"raise", "missing"}, default="raise"
        Whether a broken picture, sound or video is an error that names its row, or counts as
        missing, with a warning. "missing" holds for encoders in ``overrides`` too. Another value
        acts after `fit` too, so that what is strict in training can be lenient in use.
    root : str or path-like, default=None
        The folder in which relative paths start, with "auto".
    n_jobs : int, default=None
        Number of encoders that work at the same time.
    verbose : bool, default=False
        Whether the encoders that "auto" chooses show progress bars, and the time is printed that
        each encoder took.

    Attributes
    ----------
    schema_ : dict of column to modality
        What "auto" took each column for.
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

    "auto" looks anew in each `fit`: what it takes a column for does not depend on the number of
    rows, but may on which they are where values hardly repeat. A ``schema`` settles it.

    For skops a fitted transformer needs ``trusted=skmm.trusted_types``.

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
        schema: pd.DataFrame | Mapping | None = None,
        overrides: Mapping | None = None,
        errors: str = "raise",
        root: str | os.PathLike | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ):
        self.transformers = transformers
        self.schema = schema
        self.overrides = overrides
        self.errors = errors
        self.root = root
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
        self._check_parameters()
        X = as_pandas(X)
        if isinstance(self.transformers, str):
            self._inferred = self._infer(X)
            X = self._find_paths(X)
        explicit = self._explicit()
        explicit._check_tuples()
        encoded = super(ModalityTransformer, explicit).fit_transform(X, y, **params)
        parameters = self.get_params(deep=False)
        for name, value in vars(explicit).items():
            if name not in parameters:
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
        self._check_parameters()
        X = as_pandas(X)
        X = self._find_columns(X)
        if isinstance(self.transformers, str):
            X = self._find_paths(X)
            self._set_errors()
        if not params and self._can_go_through(X):
            return self._named(self._encode_in_turn(X), X)
        explicit = self._explicit()  # scikit-learn before 1.9 reads the list here too
        try:
            encoded = super(ModalityTransformer, explicit).transform(X, **params)
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

    def _get_feature_name_out_for_transformer(self, name, trans, feature_names_in):
        try:
            return super()._get_feature_name_out_for_transformer(name, trans, feature_names_in)
        except AttributeError:  # it does not name its features: they are numbered
            columns = self.output_indices_[name]
            return number_features(columns.stop - columns.start)

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
        expected = 'transformers must be "auto" or a list of (modality, encoder, columns), got '
        steps = self.transformers
        if not isinstance(steps, list | tuple) or any(
            not isinstance(step, list | tuple) or len(step) != 3 for step in steps
        ):
            raise ValueError(f"{expected}{steps!r}.")
        for step in steps:
            if not isinstance(step[0], str):
                raise ValueError(f"{expected}{step[0]!r} where the name of a modality comes.")

    def _check_parameters(self) -> None:
        if self.transformers != "auto":
            if isinstance(self.transformers, str):
                self._check_tuples()
            given = {name: getattr(self, name) for name in ("schema", "overrides", "root")}
            given["errors"] = None if self.errors == "raise" else self.errors
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f'{name} acts with transformers="auto"; encoders that are listed have '
                        "parameters of their own."
                    )
        if self.errors not in ("raise", "missing"):
            raise ValueError(f'errors must be "raise" or "missing", got {self.errors!r}.')
        check_root(self.root)

    def _infer(self, X: pd.DataFrame) -> list[tuple]:
        overrides = {} if self.overrides is None else self.overrides
        if self.root is not None:
            X = prepend_root(X, find_files(X, self.root), self.root)
        self.schema_ = find_schema(X, self.schema, overrides)
        by_name = all(isinstance(column, str) for column in X.columns)
        columns = dict(zip(X.columns, X.columns if by_name else range(X.shape[1]), strict=True))
        options = {"errors": self.errors, "verbose": self.verbose}
        steps = make_steps(self.schema_, overrides, columns, **options)
        column_of = {called: column for column, called in columns.items()}
        self._own_errors = {}  # None where "auto" chose the encoder
        for name, encoder, called in steps:
            if hasattr(encoder, "errors"):
                column = column_of[called[0] if isinstance(called, list) else called]
                self._own_errors[name] = getattr(overrides.get(column), "errors", None)
        return steps

    def _can_go_through(self, X: pd.DataFrame) -> bool:
        """Return whether the encoders need nothing of ColumnTransformer but columns, by name."""
        if self.n_jobs not in (None, 1) or get_config()["enable_metadata_routing"]:
            return False
        chosen = [[c] if isinstance(c, str) else c for _, _, c in self.transformers_]
        return all(
            isinstance(columns, list) and all(isinstance(c, str) and c in X for c in columns)
            for columns in chosen
        )

    def _encode_in_turn(self, X: pd.DataFrame) -> np.ndarray:
        """Encode the columns, one after the other: ColumnTransformer starts a task for each."""
        blocks = [
            encoder.transform(X[columns])
            for _, encoder, columns in self.transformers_
            if encoder != "drop" and len(columns)
        ]
        arrays = [block.toarray() if sparse.issparse(block) else block for block in blocks]
        return np.hstack(arrays) if arrays else np.empty((len(X), 0))

    def _find_columns(self, X: pd.DataFrame) -> pd.DataFrame:
        """Check that columns have names where those of `fit` had; drop them where those had none.

        Without names columns are found by position.
        """
        if hasattr(self, "feature_names_in_"):
            if isinstance(X.columns, pd.RangeIndex):
                raise ValueError(
                    "ModalityTransformer was fitted to a frame, and got columns without names: "
                    f"give a frame with the columns {self.feature_names_in_.tolist()}."
                )
            return X
        if X.columns.inferred_type == "string" and X.shape[1] == self.n_features_in_:
            warn_user(
                f"ModalityTransformer was fitted to columns without names, and takes {list(X)} for "
                "them, in this order. Fit it to a frame, whose columns are found by name."
            )
            return X.set_axis(range(X.shape[1]), axis=1)
        return X

    def _find_paths(self, X: pd.DataFrame) -> pd.DataFrame:
        """Prepend the root to what is relative in columns of files."""
        if self.root is None:
            return X
        of_files = [c for c, modality in self.schema_.items() if modality in OF_FILES]
        return prepend_root(X, [column for column in of_files if column in X], self.root)

    def _set_errors(self) -> None:
        """Set what fitted encoders do with broken items to what is asked for now."""
        for name, encoder, _ in self.transformers_:
            if name in self._own_errors:
                own = self._own_errors[name]
                encoder.errors = own if own and self.errors == "raise" else self.errors

    def __getstate__(self):
        """Pickle the modalities of a schema, and the name of a root: skops saves no others."""
        state = dict(super().__getstate__())
        if isinstance(self.root, os.PathLike):
            state["root"] = os.fspath(self.root)
        if self.schema is not None:
            state["schema"] = read_schema(self.schema)
        return state

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
