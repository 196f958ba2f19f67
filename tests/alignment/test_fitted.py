"""What is fitted: its attributes, and that it is the same after it was saved."""

import pickle

import numpy as np
import pytest
import skops.io
import torch

from skmm import MLP, AdamW
from skmm.alignment import CrossModalAligner


def in_pickle(aligner):
    return pickle.loads(pickle.dumps(aligner))


def in_skops(aligner):
    """Save and load an aligner, trusting the classes of itself and of its settings alone."""
    kinds = {type(aligner), *(type(v) for v in aligner.get_params(deep=False).values())}
    trusted = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    trusted = {name for name in trusted if name.startswith("skmm.")}
    content = skops.io.dumps(aligner)
    assert set(skops.io.get_untrusted_types(data=content)) == trusted
    return skops.io.loads(content, trusted=sorted(trusted))


FITTED = {
    "contrastive": {"solver": AdamW(max_iter=2)},
    "hidden layers": {"modality_model": MLP((8, 4)), "solver": AdamW(max_iter=2), "init": "random"},
    "cca": {"alignment": "cca"},
    "no embeddings": {"alignment": "cca", "store_embeddings": False},
    "names": {"modalities": {"a": ["image__7", "text__1"], "b": slice(3, 9)}, "alignment": "cca"},
}


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("save_and_load", [in_pickle, in_skops])
def test_loaded_aligner_is_the_same(three, save_and_load, name):
    aligner = CrossModalAligner(random_state=0).set_params(**FITTED[name]).fit(three)
    again = save_and_load(aligner)
    np.testing.assert_array_equal(again.transform(three), aligner.transform(three))
    assert again.score(three) == aligner.score(three)
    assert again.modalities_ == aligner.modalities_
    for attribute in ("n_iter_", "n_components_", "temperature_"):
        assert getattr(again, attribute) == getattr(aligner, attribute)
    for attribute in ("embeddings_", "correlations_", "history_", "loss_curve_"):
        assert hasattr(again, attribute) == hasattr(aligner, attribute)
        if hasattr(aligner, attribute):
            np.testing.assert_array_equal(getattr(again, attribute), getattr(aligner, attribute))
    if hasattr(aligner, "history_"):
        assert list(again.history_) == list(aligner.history_)
    if hasattr(aligner, "embeddings_"):
        names = list(aligner.modalities_)[:2]
        for values, expected in zip(
            again.kneighbors(three[:5], source=names[0], target=names[1]),
            aligner.kneighbors(three[:5], source=names[0], target=names[1]),
            strict=True,
        ):
            np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("save_and_load", [in_pickle, in_skops])
def test_aligner_that_is_not_fitted_is_saved_too(frame, save_and_load):
    again = save_and_load(CrossModalAligner("cca", n_components=3))
    assert again.fit(frame).n_components_ == 3


def test_network_that_was_changed_is_pickled_as_it_is(frame):
    aligner = CrossModalAligner("cca").fit(frame)
    before = aligner.transform(frame)
    with torch.no_grad():
        aligner.network_.linear[0][-1].weight[0] *= 2
    aligner.network_.linear[1][-1].weight.requires_grad_(False)
    again = in_pickle(aligner)
    np.testing.assert_array_equal(again.transform(frame), aligner.transform(frame))
    assert not np.allclose(again.transform(frame), before)
    frozen = [name for name, p in again.network_.named_parameters() if not p.requires_grad]
    assert frozen == ["linear.1.1.weight"]
    aligner.network_.linear[0].append(torch.nn.Tanh())
    np.testing.assert_array_equal(in_pickle(aligner).transform(frame), aligner.transform(frame))


def test_attributes_are_those_of_the_last_fit(frame):
    aligner = CrossModalAligner(solver=AdamW(max_iter=2), n_components=3)
    fitted = ["modalities_", "network_", "embeddings_", "correlations_", "history_"]
    fitted += ["loss_curve_", "n_iter_", "n_components_", "temperature_"]

    def missing():
        return [name for name in fitted if not hasattr(aligner, name)]

    assert missing() == fitted
    aligner.fit(frame)
    assert missing() == []
    assert aligner.n_iter_ == len(aligner.loss_curve_) == 2
    aligner.set_params(init="random", store_embeddings=False).fit(frame)
    assert missing() == ["embeddings_", "correlations_"]
    aligner.set_params(alignment="cca").fit(frame)
    assert missing() == ["embeddings_", "history_", "loss_curve_"]
    assert aligner.n_iter_ == 1


def test_gallery_need_not_be_kept(frame):
    aligner = CrossModalAligner("cca", store_embeddings=False).fit(frame)
    assert len(pickle.dumps(aligner)) < 10_000
    with pytest.raises(ValueError, match="X_gallery"):
        aligner.kneighbors(frame[:2])
    assert aligner.kneighbors(frame[:2], frame)[1].shape == (2, 5)
