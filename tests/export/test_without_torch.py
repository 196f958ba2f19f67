"""The guide's server: texts and numbers to probabilities in a process that has no torch."""

import json
import re
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fresh_process import ROOT, run
from minilm import MINILM
from nested_settings import nest
from sklearn.pipeline import make_pipeline

from skmm import FusionClassifier, ModalityTransformer
from skmm.encoding.engine import patch_torchvision
from skmm.export import to_onnx
from skmm.text import TextEncoder


def read_server():
    """Return the lines of the guide that serve a model."""
    text = (ROOT / "docs" / "user_guide" / "exporting.rst").read_text()
    blocks = re.findall(r"\.\. code-block:: python\n\n((?: {3}.*\n|\n)+)", text)
    (server,) = [block for block in blocks if "def predict(" in block]
    return textwrap.dedent(server)


def export_minilm(folder):
    """Write MiniLM as ONNX, with the names and the place that optimum gives it."""
    patch_torchvision()
    import torch
    from transformers import AutoModel

    class LastHiddenState(torch.nn.Module):
        def __init__(self):
            super().__init__()
            # Its own attention asks, while it is traced, whether any token is hidden.
            self.model = AutoModel.from_pretrained(MINILM, attn_implementation="eager").eval()

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.ones(2, 7, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    (folder / "onnx").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            LastHiddenState(),
            (ids, mask, torch.zeros_like(ids)),
            folder / "onnx" / "model.onnx",
            input_names=names,
            dynamic_shapes=(sizes, sizes, sizes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    tokenizer = Path(MINILM, "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(tokenizer)


@pytest.mark.slow
def test_server_of_the_guide(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.choice(["new", "old"], 40)
    titles = [f"a {word} {rng.choice(['lamp', 'chair of wood', 'hat'])}" for word in y]
    X = pd.DataFrame({"title": titles, "price": rng.normal(size=40), "weight": rng.normal(size=40)})
    encoders = [
        ("text", TextEncoder(MINILM, cache=None), "title"),
        ("table", "passthrough", ["price", "weight"]),
    ]
    fusion = nest(FusionClassifier, hidden_layer_sizes=(4,), max_iter=5, random_state=0)
    model = make_pipeline(ModalityTransformer(encoders), fusion).fit(X, y)
    to_onnx(model[-1], tmp_path / "fusion.onnx")
    export_minilm(tmp_path / "encoder")
    titles[2] = X.loc[2, "title"] = None
    rows = json.dumps([titles, X[["price", "weight"]].to_numpy().tolist()])
    code = f"""
import json, os, sys
sys.modules.update(torch=None, sklearn=None, skmm=None)  # importing these is an error
os.chdir({str(tmp_path)!r})
{read_server()}
titles, numbers = json.loads({rows!r})
label, proba = predict(titles, np.array(numbers))
print(json.dumps([label.tolist(), proba.tolist()]))
"""
    label, proba = json.loads(run(code))
    assert label == model.predict(X).tolist()
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-5)
