"""
Do clips tell more by what is seen or by what is heard?
=======================================================

Three toys, each of its own shape and with its own tone. Some clips are dark, and in more of them
noise drowns the tone. One column of video files becomes two modalities, frames and sound; the model
learns how much each counts.
"""

# %%
# The clips, made here: a toy moves through clutter, for a second, in H.264 with AAC.
import tempfile

import av
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedShuffleSplit, cross_validate
from sklearn.pipeline import make_pipeline

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.audio import AudioDescriptor
from skmm.inspection import ModalityWeightsDisplay
from skmm.video import VideoEncoder

rng = np.random.default_rng(0)
TONES = {"ball": 300, "box": 360, "cross": 430}  # Hz
SIDE, N_FRAMES, RATE = 48, 10, 8000
down, right = np.mgrid[:SIDE, :SIDE]


def draw(toy, x, y, size, light, clutter):
    dx, dy = abs(right - x) / size, abs(down - y) / size
    if toy == "ball":
        inside = dx**2 + dy**2 < 1
    elif toy == "box":
        inside = np.maximum(dx, dy) < 0.85
    else:
        inside = (np.minimum(dx, dy) < 0.3) & (np.maximum(dx, dy) < 1)
    gray = clutter + light * inside + rng.normal(0, 10, inside.shape)
    return np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def film(path, toy):
    light = rng.choice([100, 12], p=[0.7, 0.3])  # bright or dark
    loudness = rng.choice([0.3, 0.01], p=[0.55, 0.45])  # the tone; the noise has 0.1
    start, stop = rng.uniform(12, SIDE - 12, (2, 2))
    size, clutter = rng.uniform(7, 11), rng.uniform(20, 80, (6, 6)).repeat(8, 0).repeat(8, 1)
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * TONES[toy] * rng.uniform(0.97, 1.03) * time)
    samples = np.float32(loudness * tone + rng.normal(0, 0.1, RATE))
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=N_FRAMES, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for k in range(N_FRAMES):
            x, y = start + (stop - start) * k / (N_FRAMES - 1)
            frame = draw(toy, x, y, size, light, clutter)
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate = RATE
        container.mux(audio.encode(sound) + audio.encode())
    return path


folder = tempfile.TemporaryDirectory()
y = np.repeat(list(TONES), 50)
X = pd.DataFrame({"clip": [film(f"{folder.name}/{i}.mp4", toy) for i, toy in enumerate(y)]})

# %%
# The same column twice. Each clip is encoded once, whatever is fitted later. Three splits at
# random, a third of the clips for testing.
encoders = [("frames", VideoEncoder(n_frames=5), "clip"), ("sound", AudioDescriptor(), "clip")]
splits = StratifiedShuffleSplit(n_splits=3, test_size=1 / 3, random_state=1)
accuracy = {}
for name, chosen in [("frames", encoders[:1]), ("sound", encoders[1:]), ("both", encoders)]:
    fusion = FusionClassifier(interaction=None, solver=AdamW(max_iter=20), random_state=0)
    model = make_pipeline(ModalityTransformer(chosen), fusion)
    results = cross_validate(model, X, y, cv=splits, return_estimator=True)
    accuracy[name] = results["test_score"]
print(pd.DataFrame(accuracy).agg(["mean", "std"]).round(3).T.to_string())

# %%
# Two clips of each toy. What is heard tells more than what is seen, but no more than splits differ.
figure = plt.figure(figsize=(9, 6), layout="constrained")
top, bottom = figure.subfigures(2, 1)
for ax, clip in zip(top.subplots(2, 3).T.flat, [0, 1, 50, 51, 100, 101], strict=True):
    with av.open(X["clip"][clip]) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    ax.imshow(np.hstack(frames[::3]))
    ax.set(title=f"{y[clip]}, about {TONES[y[clip]]} Hz", xticks=[], yticks=[])
left, right = bottom.subplots(1, 2)
scores = np.array(list(accuracy.values()))
left.barh(list(accuracy), scores.mean(axis=1), xerr=scores.std(axis=1), color="0.6")
left.axvline(1 / 3, color="black", linestyle=":")
left.set(xlabel="accuracy on new clips (dotted: guessing)", xlim=(0, 1))
left.invert_yaxis()
ModalityWeightsDisplay.from_cv_results(results, ax=right)
