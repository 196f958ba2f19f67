"""A torchvision built for CUDA beside a torch for CPUs, in fresh processes."""

import os
import subprocess
import sys
import textwrap

from fresh_process import ROOT, run


def test_patching_torchvision_is_quiet_and_lasts():
    code = """
    import contextlib, sys, warnings
    warnings.simplefilter("error")
    import skmm
    from skmm.encoding.engine import patch_torchvision
    assert "torchvision" not in sys.modules
    with contextlib.suppress(Exception):  # as a user without skmm would find
        import sentence_transformers
    patch_torchvision()
    patch_torchvision()
    import sentence_transformers, torchvision, open_clip
    from transformers import Wav2Vec2Model
    from torchvision.transforms import CenterCrop
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_torchvision_is_left_alone_unless_it_is_broken(tmp_path):
    (tmp_path / "torchvision.py").write_text("loads = 1")
    code = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from skmm.encoding.engine import patch_torchvision
    patch_torchvision()
    print(sys.modules["torchvision"].loads, hasattr(torch.ops.torchvision, "nms"))
    del sys.modules["torchvision"]
    with open(sys.argv[1] + "/torchvision.py", "w") as file:
        file.write("raise RuntimeError('out of order for another reason')")
    patch_torchvision.cache_clear()
    try:
        patch_torchvision()
    except RuntimeError as e:
        print(e)
    """
    printed = run(code, tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert printed.splitlines() == ["1 False", "out of order for another reason"]
