"""The folder of partitions."""

import numpy as np
import pandas as pd
import pytest

from skmm.distributed._encoding import _check_unique
from skmm.distributed._identity import ROW
from skmm.distributed._partitions import Partitions


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


def test_a_uri_is_a_folder_too(tmp_path):
    partitions = Partitions(tmp_path.as_uri())
    partitions.open({})
    partitions.write("part-1.parquet", *make_partition(), {})
    assert len(Partitions(tmp_path).finished()) == 3


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
