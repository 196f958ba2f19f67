"""Contrast, foreground and superpixels of one image: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from .._optional import import_optional

STRETCHED = (1, 99)  # the percentiles of lightness that become black and white
_PURPOSE = "ImagePreprocessor"


def enhance_contrast(values: np.ndarray, method: str) -> np.ndarray:
    """Change the lightness of an image (H, W) or (H, W, 3) of uint8, not its colours."""
    color = import_optional("skimage.color", extra="image", purpose=_PURPOSE)
    if values.ndim == 3:
        hsv = color.rgb2hsv(values)
        hsv[..., 2] = _enhance_lightness(hsv[..., 2], method)
        enhanced = color.hsv2rgb(hsv)
    else:
        enhanced = _enhance_lightness(values / 255, method)
    return np.rint(enhanced * 255).astype(np.uint8)


def _enhance_lightness(lightness: np.ndarray, method: str) -> np.ndarray:
    exposure = import_optional("skimage.exposure", extra="image", purpose=_PURPOSE)
    if lightness.min() == lightness.max():
        return lightness
    if method == "equalize":
        return exposure.equalize_hist(lightness)
    if method == "clahe":
        return exposure.equalize_adapthist(lightness)
    low, high = np.percentile(lightness, STRETCHED)
    if low == high:  # hardly a pixel differs
        return lightness
    return np.clip((lightness - low) / (high - low), 0, 1)


def find_foreground(rgb: np.ndarray) -> np.ndarray:
    """Mark the pixels (H, W) of an image (H, W, 3) of uint8 that do not look like its border.

    All of them if none differs enough.
    """
    color = import_optional("skimage.color", extra="image", purpose=_PURPOSE)
    filters = import_optional("skimage.filters", extra="image", purpose=_PURPOSE)
    from scipy import ndimage

    lab = color.rgb2lab(rgb)
    lab = filters.gaussian(lab, sigma=max(1.0, min(rgb.shape[:2]) / 100), channel_axis=-1)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    distance = np.linalg.norm(lab - np.median(border, axis=0), axis=-1)
    if distance.max() - distance.min() < 1:  # less than an eye can tell
        return np.ones(distance.shape, dtype=bool)
    return np.asarray(ndimage.binary_fill_holes(distance > filters.threshold_otsu(distance)))


def find_superpixels(rgb: np.ndarray, n_segments: int) -> np.ndarray:
    """Number the superpixel of each pixel (H, W) of an image (H, W, 3) of uint8, from 0 on."""
    segmentation = import_optional("skimage.segmentation", extra="image", purpose=_PURPOSE)
    return segmentation.slic(rgb, n_segments=n_segments, start_label=0, channel_axis=-1)


def average_segments(values: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Replace each pixel of an image (H, W) or (H, W, 3) of uint8 by the mean of its segment."""
    labels = segments.ravel()
    counts = np.maximum(np.bincount(labels), 1)
    channels = values.reshape(labels.size, -1).T  # (1 or 3, H * W)
    means = np.stack([np.bincount(labels, channel) / counts for channel in channels], axis=-1)
    return np.rint(means[labels]).astype(np.uint8).reshape(values.shape)
