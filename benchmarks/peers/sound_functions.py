"""What a user writes who has no encoder of sounds at hand; its lines count as theirs."""

import librosa
import numpy as np


def encode_sounds(paths):
    vectors = []
    for path in np.ravel(paths):
        sound, rate = librosa.load(path, sr=16_000)
        cepstra = librosa.feature.mfcc(y=sound, sr=rate, n_mfcc=13)
        segments = np.array_split(cepstra, 5, axis=1)
        vectors.append(np.concatenate([segment.mean(axis=1) for segment in segments]))
    return np.stack(vectors)
