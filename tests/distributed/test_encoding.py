"""Encoding on a Ray cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from distributed_tables import fit_transformer, make_block, make_table, read
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmm import MLP, AdamW, FusionClassifier, ModalityTransformer, TabularEncoder
from skmm.distributed import encode, fit
from skmm.distributed._checks import check_counts
from skmm.distributed._encoding import _check_count, _find_inputs
from skmm.distributed._partitions import Partitions
from skmm.image import ImageDescriptor

ray = pytest.importorskip("ray", reason="needs pip install 'skmm[ray]'")

# Ray 2.60 warns of itself: it copies a context with parameters that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")


def test_inputs_are_those_that_the_transformer_saw():
    X = make_table()
    transformer = fit_transformer(X)
    assert _find_inputs(transformer, "id", ["label"], [*X]) == ["says", "age"]
    with pytest.raises(ValueError, match=r"column 'age'.*\['id', 'says'\]"):
        _find_inputs(transformer, "id", [], ["id", "says"])
    with pytest.raises(ValueError, match="StandardScaler"):
        _find_inputs(StandardScaler().fit([[1.0], [2.0]]), "id", [], ["id"])


def test_rows_are_counted():
    _check_count(60, 60, "encoded")
    with pytest.raises(ValueError, match=r"\b60\b.*'encoded' 59\b"):
        _check_count(59, 60, "encoded")


def test_arguments_are_checked_before_a_worker_starts(tmp_path):
    X = make_table()
    with pytest.raises(TypeError, match="DataFrame"):
        encode(X, fit_transformer(X), tmp_path, key="id")
    with pytest.raises(TypeError, match="DataFrame"):
        fit(FusionClassifier(), X, "label")
    with pytest.raises(TypeError, match=r"keep .*\['label'\]"):
        _find_inputs(fit_transformer(X), "id", "label", list(X))
    with pytest.raises(ValueError, match="n_workers == 0"):
        check_counts(batch_size=1, n_workers=0)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_encode_writes_what_transform_returns_and_continues(cluster, tmp_path):
    X = make_table()
    transformer = fit_transformer(X)
    options = {"key": "id", "keep": ["label"], "rows_per_partition": 8}
    X.to_parquet(tmp_path / "table.parquet", row_group_size=20)
    half = ray.data.from_pandas(X[:30])
    assert encode(half, transformer, tmp_path / "encoded", **options) == 30
    whole = ray.data.read_parquet(str(tmp_path / "table.parquet"))
    assert encode(whole, transformer, tmp_path / "encoded", **options) == 30
    expected = transformer.transform(X.set_index("id")[["says", "age"]])
    encoded = read(tmp_path / "encoded", X)
    assert encoded.pop("label").tolist() == X["label"].tolist()
    pd.testing.assert_frame_equal(encoded, expected)

    for column, value in [("says", "other"), ("label", 3)]:
        changed = X[40:44].assign(**{column: X[column].where(X["id"] != "row 41", value)})
        with pytest.raises(ValueError, match=r"id 'row 41' .*'says' or 'age' or 'label'"):
            encode(ray.data.from_pandas(changed), transformer, tmp_path / "encoded", **options)
    with pytest.raises(ValueError, match=r"encoded' .*transformer"):
        encode(whole, fit_transformer(X[1:]), tmp_path / "encoded", **options)
    blocks = [X[:4], X[2:4].assign(says="other")]
    with pytest.raises(ValueError, match=r"twice' .*\b2\b.*key='id'"):
        encode(
            ray.data.from_pandas(blocks),
            transformer,
            tmp_path / "twice",
            key="id",
            rows_per_partition=4,
        )


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_missing_labels_and_inputs_of_a_category_stay_missing(cluster, tmp_path):
    pa.parquet.write_table(make_block(24), tmp_path / "table.parquet", row_group_size=6)
    X = pd.read_parquet(tmp_path / "table.parquet").set_index("id")
    inputs = ["kind", "flag"]
    transformer = ModalityTransformer([("tabular", TabularEncoder(), inputs)]).fit(X[inputs])
    dataset = ray.data.read_parquet(str(tmp_path / "table.parquet"))
    keep = [name for name in X if name != "flag"]
    options = {"key": "id", "rows_per_partition": 5}
    assert encode(dataset, transformer, tmp_path / "encoded", keep=keep, **options) == 24
    encoded = pd.read_parquet(tmp_path / "encoded").loc[X.index]
    expected = transformer.transform(X[inputs])
    pd.testing.assert_frame_equal(encoded[expected.columns], expected, check_names=False)
    for name in keep:
        assert encoded[name].isna().tolist() == X[name].isna().tolist()
    for name in ("kind", "code", "day", "zoned"):
        assert encoded[name].dropna().tolist() == X[name].dropna().tolist()
    with pytest.raises(ValueError, match="key='list'"):
        encode(dataset, transformer, tmp_path / "by_list", key="list")
    items = [{"id": i, "kind": "ant", "flag": True, "tensor": np.ones((2, 2))} for i in range(4)]
    tensors = ray.data.from_items(items)
    with pytest.raises(ValueError, match="'tensor' of keep"):
        encode(tensors, transformer, tmp_path / "tensors", key="id", keep=["tensor"])


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_broken_item_is_named_or_missing(cluster, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    table = pd.DataFrame({"id": range(12), "photo": list(pictures), "label": 0})
    table["photo"] = [tmp_path / f"{i}.png" for i in range(12)]
    from PIL import Image

    for path, picture in zip(table["photo"], pictures, strict=True):
        Image.fromarray(picture).save(path)
    table["photo"] = table["photo"].map(str)
    Path(table["photo"][7]).write_bytes(b"\x89PNG no more")
    dataset = ray.data.from_pandas(table)
    options = {"key": "id", "rows_per_partition": 4}
    for errors in ("raise", "missing"):
        encoder = ImageDescriptor(errors=errors, cache=None)
        transformer = ModalityTransformer([("image", encoder, "photo")]).fit(table[["photo"]][:1])
        if errors == "raise":
            with pytest.raises(ValueError, match=r"column 'photo', row 3 \(index 7\): .*7\.png"):
                encode(dataset, transformer, tmp_path / "encoded", **options)
    encode(dataset, transformer, tmp_path / "encoded", **options)
    encoded = read(tmp_path / "encoded", table)
    assert encoded.isna().all(axis=1).to_numpy().nonzero()[0].tolist() == [7]


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_driver_that_is_killed_leaves_finished_partitions(cluster, tmp_path):
    X = make_table(600)
    joblib.dump(fit_transformer(X), tmp_path / "transformer")
    X.to_parquet(tmp_path / "table.parquet", row_group_size=100)
    program = """
import sys, joblib, ray
from skmm.distributed import encode
address, folder = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
table = ray.data.read_parquet(f"{folder}/table.parquet")
transformer = joblib.load(f"{folder}/transformer")
encode(table, transformer, f"{folder}/encoded", key="id", rows_per_partition=3)
"""
    driver = subprocess.Popen([sys.executable, "-c", program, cluster.address, str(tmp_path)])
    encoded = tmp_path / "encoded"
    try:
        wait_for(lambda: len([*encoded.glob("part-*")]) > 10)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_for_silence(encoded)
    before = {path.name: path.stat().st_mtime_ns for path in encoded.glob("part-*")}
    n_before = len(Partitions(encoded).finished())
    assert 0 < n_before < 600
    dataset = ray.data.read_parquet(str(tmp_path / "table.parquet"))
    transformer = joblib.load(tmp_path / "transformer")
    n_new = encode(dataset, transformer, encoded, key="id", rows_per_partition=200)
    assert n_new == 600 - n_before
    expected = transformer.transform(X.set_index("id")[["says", "age"]])
    pd.testing.assert_frame_equal(read(encoded, X), expected)
    after = {path.name: path.stat().st_mtime_ns for path in encoded.glob("part-*")}
    assert before.items() <= after.items()
    assert not [*encoded.glob("_unfinished*")]


class CountingDescriptor(ImageDescriptor):
    """Writes down how many items are encoded, and the number of threads of a worker."""

    def _encode(self, items):
        with open(Path(self.cache).with_suffix(".count"), "a") as file:
            file.write(f"{len(items)} {os.environ.get('OMP_NUM_THREADS')}\n")
        return super()._encode(items)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_grid_search_on_ray_is_that_of_one_process(cluster, tmp_path):
    from ray.util.joblib import register_ray

    register_ray()
    y = np.arange(24) % 2
    pictures = np.random.default_rng(0).integers(0, 100, (24, 16, 16), dtype=np.uint8)
    pictures[y == 1, :8] += 100
    X = pd.DataFrame({"photo": list(pictures)})

    def search(cache, n_jobs):
        encoder = CountingDescriptor(cache=tmp_path / cache)
        model = make_pipeline(
            ModalityTransformer([("image", encoder, "photo")]),
            FusionClassifier(modality_model=MLP(4), solver=AdamW(max_iter=2), random_state=0),
        )
        grid = {"fusionclassifier__alignment": [None, "contrastive"]}
        return GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(X, y)

    alone = search("alone", n_jobs=1)
    with joblib.parallel_config("ray"):
        on_ray = search("ray", n_jobs=2)
    for name, values in alone.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(on_ray.cv_results_[name], values)
    lines = [line.split() for line in (tmp_path / "ray.count").read_text().splitlines()]
    assert 24 <= sum(int(n) for n, _ in lines) <= 2 * 24  # of five fits; both workers may start
    assert {threads for _, threads in lines} <= {"1", os.environ.get("OMP_NUM_THREADS")}


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_each_row_is_encoded_once_though_a_node_is_killed(cluster, tmp_path):
    X = make_table(120)
    marks = tmp_path / "marks"
    marks.mkdir()

    def encode_slowly(ages):
        time.sleep(0.1)
        Path(marks, ray.get_runtime_context().get_node_id()).touch()
        return ages * 2

    slow = FunctionTransformer(encode_slowly, feature_names_out="one-to-one")
    transformer = ModalityTransformer([("tabular", slow, ["age"])]).fit(X[["age"]])
    for mark in marks.iterdir():
        mark.unlink()
    victims = {node.node_id: node for node in cluster.worker_nodes}
    killed = []

    def kill_one():
        wait_for(lambda: victims.keys() & {mark.name for mark in marks.iterdir()})
        name = next(mark.name for mark in marks.iterdir() if mark.name in victims)
        cluster.remove_node(victims[name], allow_graceful=False)
        killed.append(len([*(tmp_path / "encoded").glob("part-*")]))

    thread = Thread(target=kill_one)
    thread.start()
    n_new = encode(
        ray.data.from_pandas([X[i : i + 30] for i in range(0, 120, 30)]),
        transformer,
        tmp_path / "encoded",
        key="id",
        n_workers=2,
        rows_per_partition=2,
    )
    thread.join()
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    assert killed[0] < 60  # it was in mid-run
    assert n_new == 120
    assert read(tmp_path / "encoded", X)["tabular__age"].tolist() == (X["age"] * 2).tolist()


def wait_for(condition, seconds=300):  # Ray starts slowly where it shares two cores
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} was not true within {seconds} s")
        time.sleep(0.02)


def wait_for_silence(folder):
    """Wait until nothing is written to a folder any more: workers outlive their driver briefly."""
    names = None
    while names != (names := sorted(path.name for path in folder.iterdir())):
        time.sleep(1)
