import numpy as np
import pytest
import torch
from tiny_text_encoders import WIDTH, make_encoder_model

from skmm._torch.lora import AdapterSpec
from skmm._torch.splitting import UpperLayers, find_split, pack_hidden, run_lower
from skmm._torch.tasks import class_tasks, column_tasks
from skmm._torch.tensors import TrainingTensors
from skmm._torch.tuning import (
    Items,
    ModelCalls,
    TunedNetwork,
    TuningObjective,
    fill_tuned,
    log_probabilities,
    pack_tuned,
)

LENGTHS = [5, 2, 7, 3, 3, 6]
SPEC = AdapterSpec(rank=2, alpha=4.0, dropout=0.0, target_modules=None, seed=0)


def collate(sequences):
    longest = max(map(len, sequences))
    ids = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in sequences])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def forward(model, features):
    return model(**features)[0][:, 0]


@pytest.fixture(scope="module")
def bare():
    return make_encoder_model()[0].eval()


@pytest.fixture(scope="module")
def items(bare):
    random = np.random.default_rng(0)
    sequences = [random.integers(1, 300, length).tolist() for length in LENGTHS]
    calls = ModelCalls(collate, collate, forward, lambda features: features["attention_mask"])
    features = collate(sequences)
    with torch.no_grad():
        hidden = run_lower(bare, find_split(bare, 2), calls.bind(features))
    return Items(pack_hidden(hidden, features["attention_mask"]), sequences, calls)


def build(bare, n_outputs=3, **options):
    upper = UpperLayers(bare, find_split(bare, 2))
    return TunedNetwork(upper, SPEC._replace(**options), WIDTH, n_outputs).eval()


@torch.no_grad()
def test_vectors_are_those_of_the_model_in_any_order(bare, items):
    network, features = build(bare), collate(items.inputs)
    expected = forward(bare, features)
    for index in (np.arange(6), np.array([4, 0, 2])):
        torch.testing.assert_close(
            network.vectors(items, index), expected[index], atol=1e-5, rtol=1e-5
        )
    few = items.take(np.array([3, 1]))
    torch.testing.assert_close(
        network.vectors(few, np.array([1, 0])), expected[[1, 3]], atol=1e-5, rtol=1e-5
    )


def test_head_reads_features_of_mean_0_and_deviation_1(bare, items):
    network = build(bare)
    assert not network.logits(torch.randn(4, WIDTH)).any()
    with torch.no_grad():
        vectors = network.vectors(items, np.arange(6))
        network.store_statistics(torch.cat([vectors, vectors]))
        network.head.weight.copy_(torch.eye(WIDTH)[:3])
        logits = network.logits(vectors)
    torch.testing.assert_close(logits.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(logits.std(0, unbiased=False), torch.ones(3), atol=1e-4, rtol=0)


def test_features_that_do_not_vary_stay_finite(bare):
    network = build(bare)
    network.store_statistics(torch.ones(4, WIDTH))
    assert network.logits(torch.full((2, WIDTH), 2.0)).isfinite().all()


def test_arrays_bring_back_a_network(bare, items):
    network, other = build(bare), build(bare, seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    arrays = pack_tuned(network)
    fill_tuned(other, arrays)
    with torch.no_grad():
        torch.testing.assert_close(
            other.vectors(items, np.arange(6)), network.vectors(items, np.arange(6))
        )
    with pytest.raises(ValueError, match=r"adapters do not fit the model: .*lora"):
        fill_tuned(build(bare, target_modules=["query"]), arrays)


def test_rows_of_one_item_share_a_run_and_count_by_weight(bare, items):
    network = build(bare)
    rows = TrainingTensors(
        torch.tensor([[2], [0], [2]]),
        torch.ones(3, 1, dtype=torch.bool),
        torch.tensor([[0], [1], [2]]),
        torch.tensor([1.0, 1.0, 1.0]),
    )
    objective = TuningObjective(items, class_tasks([3], [1.0]))
    with torch.no_grad():
        torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(0))
    output, _ = objective.run(network, rows, rows.present)
    torch.testing.assert_close(output.logits[0], output.logits[2])
    loss = objective.terms(output, rows)
    expected = torch.nn.functional.cross_entropy(output.logits, rows.target[:, 0])
    torch.testing.assert_close(loss, expected[None])
    held_out = objective.held_out_loss(network, rows, torch.arange(3))
    assert held_out == pytest.approx(float(expected.detach()), abs=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())


def test_log_probabilities_of_several_tasks():
    logits = torch.randn(5, 5)
    found = log_probabilities(class_tasks([2, 3], [0.5, 0.5]), logits)
    torch.testing.assert_close(found[:, :2].exp().sum(1), torch.ones(5))
    torch.testing.assert_close(found[:, 2:].exp().sum(1), torch.ones(5))
    labels = column_tasks("multilabel", [0.2] * 5)
    torch.testing.assert_close(log_probabilities(labels, logits), logits)
