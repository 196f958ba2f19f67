"""The engine as other rooms import it: base classes of encoders, and pretrained models.

Nothing here is public: `__all__` is empty.
"""

from ._base import CellEncoder, EncodedBatch, find_not_finite
from ._batches import Batch, TensorBatch
from ._columns import check_texts, set_column_tags
from ._hub import can_reach, load_from_hub, resolve_name
from ._model_encoder import ModelEncoder
from ._models import (
    Backbone,
    describe_files,
    describe_versions,
    load_once,
    lock_models,
    quiet_transformers,
)
from ._prefetching import Prefetched
from ._preparers import CellPreparer, ColumnPreparer
from ._torchvision import patch_torchvision
from ._tunable_encoder import TunableEncoder

__all__: list[str] = []
