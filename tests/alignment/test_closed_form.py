"""Canonical correlations beside those that numpy and scikit-learn find by other ways."""

import numpy as np
import pytest
from scipy.linalg import eigh, sqrtm
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from skmm.alignment._closed_form import canonical_maps

WIDTHS = [5, 7, 4]


def make_blocks(n=300, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 3))
    return [hidden @ rng.normal(size=(3, d)) + rng.normal(0, noise, (n, d)) for d in WIDTHS]


def fit(blocks, n_components=4, regularization=0.0, present=None):
    x = np.hstack(blocks)
    present = np.ones((len(x), len(blocks)), bool) if present is None else present
    widths = [block.shape[1] for block in blocks]
    return canonical_maps(x, present, widths, n_components, regularization)


def project(maps, blocks):
    return [b @ w + o for b, w, o in zip(blocks, maps.weights, maps.offsets, strict=True)]


def whitened_cross_covariance(a, b, regularization):
    """Its singular values are the canonical correlations (Hardoon et al. 2004)."""
    a, b = a - a.mean(0), b - b.mean(0)
    roots = []
    for block in (a, b):
        covariance = block.T @ block / len(block)
        ridge = regularization * np.trace(covariance) / len(covariance)
        shrunk = (1 - regularization) * covariance + ridge * np.eye(len(covariance))
        roots.append(np.linalg.inv(sqrtm(shrunk).real))
    return roots[0] @ (a.T @ b / len(a)) @ roots[1]


@pytest.mark.parametrize("regularization", [0.0, 1e-3, 0.5, 1.0])
def test_correlations_of_two_modalities(regularization):
    a, b, _ = make_blocks()
    maps = fit([a, b], regularization=regularization)
    expected = np.linalg.svd(whitened_cross_covariance(a, b, regularization))[1]
    np.testing.assert_allclose(maps.correlations, expected[:4], atol=1e-10)


def test_components_have_these_correlations():
    a, b, _ = make_blocks()
    maps = fit([a, b])
    u, v = project(maps, [a, b])
    correlation = np.corrcoef(u.T, v.T)
    np.testing.assert_allclose(correlation[:4, 4:], np.diag(maps.correlations), atol=1e-10)
    np.testing.assert_allclose(correlation[:4, :4], np.eye(4), atol=1e-10)
    np.testing.assert_allclose(np.hstack([u, v]).mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(np.hstack([u, v]).std(0), 1, atol=1e-10)


def test_scikit_learn_finds_the_same_components():
    a, b, _ = make_blocks()
    maps = fit([a, b], n_components=2)
    for components, expected in zip(
        project(maps, [a, b]), CCA(2, max_iter=5000, tol=1e-12).fit_transform(a, b), strict=True
    ):
        cosines = np.corrcoef(components.T, expected.T)[:2, 2:]
        np.testing.assert_allclose(np.abs(cosines), np.eye(2), atol=1e-3)


def test_generalised_correlations_are_eigenvectors():
    blocks = make_blocks()
    maps = fit(blocks, regularization=0.2)
    x = np.hstack(blocks) - np.hstack(blocks).mean(0)
    between = x.T @ x / len(x)
    within = np.zeros_like(between)
    for end, width in zip(np.cumsum(WIDTHS), WIDTHS, strict=True):
        block = slice(end - width, end)
        covariance = between[block, block].copy()
        ridge = 0.2 * np.trace(covariance) / width * np.eye(width)
        within[block, block] = 0.8 * covariance + ridge
        between[block, block] = 0
    v = np.concatenate(maps.weights)
    np.testing.assert_allclose(between @ v, within @ v * maps.correlations * 2, atol=1e-9)
    np.testing.assert_allclose(v.T @ within @ v, 3 * np.eye(4), atol=1e-9)
    assert (np.diff(maps.correlations) < 0).all()


def test_third_modality_of_noise_changes_nothing():
    a, b, _ = make_blocks(n=4000, noise=0.5)
    noise = np.random.default_rng(1).normal(size=(4000, 4))
    two, three = fit([a, b], 3), fit([a, b, noise], 3)
    np.testing.assert_allclose(three.correlations * 2, two.correlations, atol=0.02)
    pairs = zip(project(two, [a, b]), project(three, [a, b, noise])[:2], strict=True)
    for components, others in pairs:
        correlation = np.corrcoef(components.T, others.T)[:3, 3:]
        np.testing.assert_allclose(np.diag(correlation), 1, atol=0.02)


def test_general_solution_of_two_is_the_special_one():
    a, b, _ = make_blocks()
    special = fit([a, b], 3, 0.1)
    general = fit([a, b, np.zeros((300, 4))], 3, 0.1)  # the third has no direction at all
    np.testing.assert_allclose(general.correlations * 2, special.correlations, atol=1e-10)
    for weight, expected in zip(general.weights[:2], special.weights, strict=True):
        weight = weight * np.sqrt(2 / 3)  # variances are 1 on average over the modalities
        np.testing.assert_allclose(np.abs(weight), np.abs(expected), atol=1e-9)
    assert not general.weights[2].any()


def test_pairs_that_rows_have_are_used():
    blocks = make_blocks(n=600)
    present = np.ones((600, 3), bool)
    present[:200, 2] = present[200:400, 0] = False
    holes = [np.where(present[:, [i]], block, 0) for i, block in enumerate(blocks)]
    maps = fit(holes, present=present)
    columns = [slice(0, 5), slice(5, 12), slice(12, 16)]
    between, within = np.zeros((16, 16)), np.zeros((16, 16))
    for i, left in enumerate(columns):
        for j, right in enumerate(columns):
            both = present[:, i] & present[:, j]
            pair = np.hstack([blocks[i], blocks[j]])[both]
            covariance = np.cov(pair.T, ddof=0)[: WIDTHS[i], WIDTHS[i] :]
            (within if i == j else between)[left, right] = covariance
    expected = eigh(between, within, eigvals_only=True)[::-1][:4]
    np.testing.assert_allclose(maps.correlations * 2, expected, atol=1e-10)
    v = np.concatenate(maps.weights)
    np.testing.assert_allclose(between @ v, within @ v * maps.correlations * 2, atol=1e-9)
    for i, components in enumerate(project(maps, blocks)):
        np.testing.assert_allclose(components[present[:, i]].mean(0), 0, atol=1e-10)


def test_rows_are_read_in_chunks():
    longest = []

    class Rows:
        """Rows that are never all in memory."""

        def __getitem__(self, rows):
            longest.append(rows.stop - rows.start)
            return x[rows]

    n = 5003
    blocks = make_blocks(n)[:2]
    x, present = np.hstack(blocks), np.ones((n, 2), bool)
    maps = canonical_maps(Rows(), present, WIDTHS[:2], 2, 0.0)
    expected = np.linalg.svd(whitened_cross_covariance(*blocks, 0.0))[1][:2]
    np.testing.assert_allclose(maps.correlations, expected, atol=1e-10)
    assert sum(longest) == n
    assert max(longest) < n / 2


def test_fewer_rows_than_columns():
    a, b, _ = make_blocks(n=6)
    maps = fit([a, b], n_components=3)
    np.testing.assert_allclose(maps.correlations, 1, atol=1e-6)
    assert np.isfinite(np.concatenate(maps.weights)).all()


def test_one_modality_gives_principal_components():
    a = make_blocks()[0]
    maps = fit([a], n_components=3)
    expected = PCA(3).fit_transform(a)
    np.testing.assert_allclose(np.abs(project(maps, [a])[0]), np.abs(expected), atol=1e-9)
