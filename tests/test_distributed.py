"""Encoding and learning on a Ray cluster of several nodes, started on this machine."""

import datetime
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from threading import Thread

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmm import MLP, AdamW, FusionClassifier, ModalityTransformer, TabularEncoder
from skmm.datasets import make_multimodal_classification
from skmm.distributed import encode, fit
from skmm.distributed._blocks import to_arrow, to_frame
from skmm.distributed._checks import check_counts
from skmm.distributed._encoding import _check_count, _check_unique, _find_inputs
from skmm.distributed._identity import ROW, identify_rows, identify_transformer, name_partition
from skmm.distributed._partitions import Partitions
from skmm.distributed._training import (
    _check_same,
    _find_cause,
    _make_portable,
    _sort_labels,
    _with_new_name,
)
from skmm.encoding import TorchEncoder
from skmm.image import ImageDescriptor
from skmm.text import TextCleaner, TextDescriptor

ray = pytest.importorskip("ray", reason="needs pip install 'skmm[ray]'")

# Ray 2.60 warns of itself: it copies a context with parameters that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

ROOT = Path(__file__).resolve().parents[1]
STORE_BYTES = 80 * 2**20


@pytest.fixture(scope="module")
def cluster():
    """Start a head and two more nodes, with one CPU each; stop them after the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.delenv(variable, raising=False)  # Ray sets them by the CPUs of a worker
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        cluster = start_head(**node)
        try:
            # Before there are more nodes, to one of which this process might connect.
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            for _ in range(2):
                cluster.add_node(**node)
            ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def start_head(attempts=3, **node):
    """Start the first node; Ray gives it up after 30 s, which is little on two busy cores."""
    from ray.cluster_utils import Cluster

    head = {**node, "include_dashboard": False}
    for attempt in range(attempts):
        try:
            return Cluster(initialize_head=True, head_node_args=head)
        except Exception as e:  # Ray raises no class of its own
            if "timed out during startup" not in str(e) or attempt == attempts - 1:
                raise


def make_table(n_rows=60):
    return pd.DataFrame(
        {
            "id": [f"row {i}" for i in range(n_rows)],
            "says": [f"word{i % 7} word{i % 5}" for i in range(n_rows)],
            "age": np.arange(n_rows, dtype=float),
            "label": np.arange(n_rows) % 3,
        }
    )


def fit_transformer(X, n_components=3):
    return ModalityTransformer(
        [
            ("text", TextDescriptor(n_components=n_components), "says"),
            ("tabular", StandardScaler(), ["age"]),
        ]
    ).fit(X[["says", "age"]])


# Digests of transformers


def test_transformer_is_recognised_after_a_pickle_and_in_a_new_fit(tmp_path):
    X = make_table()
    transformer = fit_transformer(X)
    joblib.dump(transformer, tmp_path / "transformer")
    known = identify_transformer(transformer)
    assert identify_transformer(joblib.load(tmp_path / "transformer")) == known
    assert identify_transformer(fit_transformer(X)) == known
    assert identify_transformer(fit_transformer(X[:-1])) != known
    assert identify_transformer(fit_transformer(X, n_components=2)) != known


def test_what_changes_no_vector_may_change():
    pictures = [np.zeros((8, 8), dtype=np.uint8)]
    known = identify_transformer(ImageDescriptor().fit(pictures))
    same = ImageDescriptor(cache=None, errors="missing", verbose=True)
    assert identify_transformer(same.fit(pictures)) == known
    nested = [make_pipeline(TextCleaner(), FunctionTransformer(), verbose=v) for v in (0, 1)]
    assert identify_transformer(nested[0]) == identify_transformer(nested[1])


def test_weights_and_code_are_part_of_a_transformer():
    import torch

    def make(seed):
        torch.manual_seed(seed)
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        return TorchEncoder(module).fit(np.zeros((1, 2, 2), dtype=np.float32))

    assert identify_transformer(make(0)) == identify_transformer(make(0))
    assert identify_transformer(make(0)) != identify_transformer(make(1))
    functions = [lambda X: X + 1, lambda X: X + 2]
    first, second = (identify_transformer(FunctionTransformer(f)) for f in functions)
    assert first != second


# Digests of rows


def test_rows_are_recognised_by_key_and_inputs():
    X = pd.DataFrame(
        {
            "text": ["a", "a", None],
            "when": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
            "picture": [np.zeros(3), np.ones(3), b"bytes"],
        },
        index=[1, 2, 3],
    )
    rows = identify_rows(X)
    assert rows.dtype == ROW
    assert len(np.unique(rows)) == 3
    assert (identify_rows(X.copy()) == rows).all()
    for column, value in [("text", "b"), ("when", pd.Timestamp(0)), ("picture", np.ones(4))]:
        changed = X.copy()
        changed[column] = changed[column].astype(object)
        changed.at[1, column] = value
        digests = identify_rows(changed)
        assert digests["inputs"][0] != rows["inputs"][0]
        assert (digests["key"] == rows["key"]).all()
    assert name_partition(rows) != name_partition(rows[::-1].copy())


def test_rows_are_the_same_in_blocks_with_and_without_missing_cells():
    integers = pd.DataFrame({"n": [1, 2], "text": ["a", None], "when": [pd.NaT, None]})
    floats = pd.DataFrame({"n": [1.0, 2.0], "text": ["a", np.nan], "when": [None, pd.NaT]})
    assert (identify_rows(integers) == identify_rows(floats.astype({"when": object}))).all()
    for n in (1.5, 3, None):
        assert (identify_rows(floats.assign(n=n)) != identify_rows(floats)).all()


# The folder of partitions


def make_partition(n_rows=3):
    frame = pd.DataFrame({"text__0": np.arange(n_rows, dtype=np.float32)})
    rows = np.zeros(n_rows, dtype=ROW)
    rows["key"] = np.arange(n_rows)[::-1]
    return frame.set_index(pd.Index(range(n_rows), name="id")), rows


def test_partitions_read_back_with_the_digests_of_their_rows(tmp_path):
    partitions = Partitions(tmp_path / "new" / "folder")
    partitions.open({"transformer": "a"})
    frame, rows = make_partition()
    assert not partitions.has("part-1.parquet")
    partitions.write("part-1.parquet", frame, rows, {})
    partitions.write("part-2.parquet", frame, rows, {})
    assert partitions.has("part-1.parquet")
    assert partitions.finished()["key"].tolist() == [0, 0, 1, 1, 2, 2]
    read = pd.read_parquet(tmp_path / "new" / "folder")
    pd.testing.assert_frame_equal(read, pd.concat([frame, frame]))


def test_a_write_that_fails_leaves_no_partition(tmp_path):
    partitions = Partitions(tmp_path)
    partitions.open({})

    def write(file):
        file.write(b"half of a file")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        partitions._write("part-1.parquet", write)
    assert not partitions.has("part-1.parquet")
    assert len(partitions.finished()) == 0
    partitions.open({})
    assert [path.name for path in tmp_path.iterdir()] == ["_skmm.json"]


def test_a_folder_that_encode_did_not_begin(tmp_path):
    partitions = Partitions(tmp_path / "of_skmm")
    partitions.open({"transformer": "a", "key": "id"})
    with pytest.raises(ValueError, match=r"of_skmm' .*transformer"):
        partitions.open({"transformer": "b", "key": "id"})
    with pytest.raises(ValueError, match=r"of_skmm' .*key 'id'.*'name'"):
        partitions.open({"transformer": "a", "key": "name"})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"'notes\.txt'"):
        Partitions(tmp_path / "notes").open({"transformer": "a"})


def test_a_damaged_partition_is_named(tmp_path):
    partitions = Partitions(tmp_path)
    partitions.open({})
    partitions.write("part-1.parquet", *make_partition(), {})
    (tmp_path / "part-2.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"'part-2\.parquet'"):
        partitions.finished()


def test_inputs_are_those_that_the_transformer_saw():
    X = make_table()
    transformer = fit_transformer(X)
    assert _find_inputs(transformer, "id", ["label"], [*X]) == ["says", "age"]
    with pytest.raises(ValueError, match=r"column 'age'.*\['id', 'says'\]"):
        _find_inputs(transformer, "id", [], ["id", "says"])
    with pytest.raises(ValueError, match="StandardScaler"):
        _find_inputs(StandardScaler().fit([[1.0], [2.0]]), "id", [], ["id"])


def test_a_uri_is_a_folder_too(tmp_path):
    partitions = Partitions(tmp_path.as_uri())
    partitions.open({})
    partitions.write("part-1.parquet", *make_partition(), {})
    assert len(Partitions(tmp_path).finished()) == 3


def test_rows_are_counted():
    _check_count(60, 60, "encoded")
    with pytest.raises(ValueError, match=r"\b60\b.*'encoded' 59\b"):
        _check_count(59, 60, "encoded")


def test_a_key_of_two_partitions_is_named(tmp_path):
    partitions = Partitions(tmp_path)
    partitions.open({})
    frame, rows = make_partition()
    partitions.write("part-1.parquet", frame, rows, {})
    _check_unique(partitions, partitions.finished(), "id")
    partitions.write("part-2.parquet", frame[1:2], rows[1:2], {})
    with pytest.raises(ValueError, match=r"'part-1\.parquet'.*'part-2\.parquet'.*key='id'"):
        _check_unique(partitions, partitions.finished(), "id")


def test_a_column_without_a_value_in_the_first_partition_reads_back(tmp_path):
    import pyarrow

    partitions = Partitions(tmp_path)
    partitions.open({})
    frame, rows = make_partition()
    types = {"label": pyarrow.string()}
    labels = [[None, None, None], ["a", None, "b"]]
    for i, column in enumerate(labels):
        labelled = frame.assign(label=np.array(column, dtype=object))
        partitions.write(f"part-{i}.parquet", labelled, rows, types)
    assert pd.read_parquet(tmp_path)["label"].tolist()[3::2] == ["a", "b"]
    assert pd.read_parquet(tmp_path)["label"].isna().tolist() == [True] * 3 + [False, True, False]


# Blocks of a dataset


def make_block(n_rows=6):
    """A table with a missing cell in each third row of most columns."""
    kinds = ["zebra", "ant", "bee"]
    days = [datetime.datetime(2020, 1, 1 + i) for i in range(n_rows)]
    values = {
        "kind": pa.array([kinds[i % 3] if i % 3 else None for i in range(n_rows)]),
        "code": pa.array([i % 2 if i % 3 else None for i in range(n_rows)]),
        "flag": [i % 2 == 0 if i % 3 else None for i in range(n_rows)],
        "large": [2**60 + i if i % 3 else None for i in range(n_rows)],
        "nothing": pa.array([None] * n_rows, pa.string()),
        "day": [days[i].date() if i % 3 else None for i in range(n_rows)],
        "zoned": pa.array(
            [days[i] if i % 3 else None for i in range(n_rows)],
            pa.timestamp("us", tz="Europe/Berlin"),
        ),
        "list": [[[1.0], [i, 2.0]] if i % 3 else None for i in range(n_rows)],
    }
    values |= {name: values[name].dictionary_encode() for name in ("kind", "code")}
    return pa.table({"id": [f"row {i}" for i in range(n_rows)], **values})


def test_missing_cells_of_blocks_stay_missing():
    block = make_block()
    frame = to_frame(block)
    missing = [True, False, False] * 2
    assert frame["id"].tolist() == block["id"].to_pylist()
    for name in frame.columns.drop(["id", "nothing"]):
        assert frame[name].isna().tolist() == missing
        values = to_arrow(block[name], frame[name])
        assert values.to_pylist() == block[name].to_pylist()
        assert not pa.types.is_dictionary(values.type)
    assert frame["kind"].dropna().tolist() == ["ant", "bee"] * 2
    assert frame["nothing"].isna().all()
    assert to_arrow(block["large"], frame["large"]).to_pylist()[1] == 2**60 + 1
    kinds = frame["kind"].astype("category")
    assert to_arrow(kinds, kinds).to_pylist() == [None, "ant", "bee"] * 2


def test_values_that_parquet_has_no_type_for_are_named():
    for cells in ([np.ones((2, 2)), None], [object(), object()], [1, "a"]):
        column = pd.Series(cells, name="other", dtype=object)
        with pytest.raises(ValueError, match=r"'other' of keep"):
            to_arrow(column, column)
    vectors = pd.Series([np.ones(2), None], name="vector", dtype=object)
    assert to_arrow(vectors, vectors).to_pylist() == [[1.0, 1.0], None]


def test_errors_of_workers_can_be_sent():
    class TwoArgumentsError(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    class LockedError(Exception):
        def __init__(self):
            super().__init__("is locked")
            self.held = threading.Lock()

    error = ValueError("y has a label")
    assert _make_portable(error) is error
    for lost, text in [(TwoArgumentsError(1, 2), "1 and 2"), (LockedError(), "is locked")]:
        portable = _make_portable(lost)
        assert f"{type(lost).__name__}: {text}" in str(pickle.loads(pickle.dumps(portable)))


def test_rows_without_a_label():
    assert _sort_labels(["b", "a"], "label").tolist() == ["a", "b"]
    for labels in (["a", None], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="'label'"):
            _sort_labels(labels, "label")


# On a cluster


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


def test_a_run_config_that_is_used_twice_gives_two_runs(tmp_path):
    from ray.train import RunConfig

    config = RunConfig(storage_path=str(tmp_path))
    runs = [_with_new_name(config) for _ in range(2)]
    assert len({config.name, *(run.name for run in runs)}) == 3
    assert {run.storage_path for run in runs} == {config.storage_path}
    assert _with_new_name(RunConfig(name="mine")).name == "mine"


def test_a_run_is_not_continued_by_another():
    _check_same({"label": "1", "classes": "2"}, {"label": "1", "classes": "2"})
    with pytest.raises(ValueError, match=r"\blabel\b.*\bclasses\b"):
        _check_same({"label": "1", "classes": "2"}, {"label": "3", "classes": "4"})


def test_cause_is_what_a_worker_raised_first():
    from ray.train import ControllerError, TrainingFailedError, WorkerGroupError

    error, follower = ValueError("y has a label"), RuntimeError("Connection closed by peer")
    assert _find_cause(WorkerGroupError("failed", {1: error, 0: follower})) is error
    assert _find_cause(WorkerGroupError("failed", {1: follower})) is follower
    assert _find_cause(ControllerError(error)) is error
    assert _find_cause(TrainingFailedError("failed")) is None


def read(path, X):
    """Read what was encoded, in the order of X, each row of which must be there once."""
    encoded = pd.read_parquet(path)
    assert sorted(encoded.index) == sorted(X["id"])
    return encoded.loc[X["id"]]


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
def test_workers_fit_what_one_process_does_though_one_is_killed(cluster, tmp_path):
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    X, y = make_multimodal_classification(60, informativeness=(0.9, 0.4), random_state=0)
    mark = tmp_path / "killed"

    class KilledOnce(FusionClassifier):
        def partial_fit(self, X, y, classes=None, sample_weight=None):
            if len(getattr(self, "loss_curve_", ())) == 1 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().partial_fit(X, y, classes, sample_weight)

    options = {
        "modality_model": MLP(8, dropout=0.0),
        "alignment": "contrastive",
        "alignment_weight": 0.1,
        "solver": AdamW(batch_size=60),
        "random_state": 0,
    }
    dataset = ray.data.from_pandas(X.assign(label=y))
    fitted = fit(
        KilledOnce(**options),
        dataset,
        "label",
        n_epochs=3,
        batch_size=60,
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(
            storage_path=str(tmp_path / "runs"), failure_config=FailureConfig(max_failures=1)
        ),
    )
    assert mark.exists()
    model = FusionClassifier(**options)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1])
    assert fitted.n_iter_ == 3
    np.testing.assert_allclose(fitted.predict_proba(X), model.predict_proba(X), atol=1e-4)
    with pytest.raises(ValueError, match="'class'"):
        fit(model, dataset, "class")
    with pytest.raises(ValueError, match="n_epochs=0"):
        fit(model, dataset, "label", n_epochs=0)
    with pytest.raises(TypeError, match="GridSearchCV"):
        fit(GridSearchCV(model, {}), dataset, "label")


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_error_of_a_worker_is_the_cause(cluster, tmp_path):
    from ray.train import RunConfig, TrainingFailedError

    X, y = make_multimodal_classification(20, random_state=0)
    dataset = ray.data.from_pandas(X.assign(label=y))
    with pytest.raises(TrainingFailedError) as caught:
        fit(
            FusionClassifier(modality_model=MLP(4)),
            dataset,
            "label",
            classes=[0, 2],
            run_config=RunConfig(storage_path=str(tmp_path / "runs")),
        )
    assert isinstance(caught.value.__cause__, ValueError)
    assert "label 1" in str(caught.value.__cause__)


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
    cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
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
