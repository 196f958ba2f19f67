"""A Ray cluster of several nodes, started on this machine."""

import os
from pathlib import Path

import distributed_tables
import pytest

ROOT = Path(__file__).resolve().parents[2]
STORE_BYTES = 80 * 2**20


@pytest.fixture
def cluster(running_cluster, request):
    """A cluster whose workers know what the test's module defines, though they cannot import it."""
    import ray

    ray.cloudpickle.register_pickle_by_value(request.module)
    return running_cluster


@pytest.fixture(scope="session")
def running_cluster():
    """Start a head and two more nodes, with one CPU each; stop them after the tests."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.delenv(variable, raising=False)  # Ray sets them by the CPUs of a worker
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        cluster = start_head(**node)
        try:
            for _ in range(2):
                cluster.add_node(**node)
            ray.cloudpickle.register_pickle_by_value(distributed_tables)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def start_head(attempts=3, **node):
    """Start the first node, and connect this process to it before there are others.

    Ray gives up either after some seconds, which are few on two busy cores.
    """
    import ray
    from ray.cluster_utils import Cluster

    head = {**node, "include_dashboard": False}
    for attempt in range(attempts):
        cluster = None
        try:
            cluster = Cluster(initialize_head=True, head_node_args=head)
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        except Exception as e:  # Ray raises no class of its own
            ray.shutdown()
            if cluster is not None:
                cluster.shutdown()
            is_slow = cluster is not None or "timed out during startup" in str(e)
            if not is_slow or attempt == attempts - 1:
                raise
        else:
            return cluster
