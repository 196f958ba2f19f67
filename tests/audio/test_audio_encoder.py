"""AudioEncoder: tiny models of each family, saved and loaded back, and what reaches them."""

import io
import json
import pickle
import shutil
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmm.audio import AudioEncoder
from skmm.encoding.engine import patch_torchvision

patch_torchvision()
import transformers  # noqa: E402

# WavLM as transformers calls it; as we do, it says nothing.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")

RATE = 16_000
RNG = np.random.default_rng(0)
SOUNDS = [RNG.normal(0, 0.1, n).astype(np.float32) for n in (16000, 9000, 12345, 16000, 5000)]
CELLS = [(sound, RATE) for sound in SOUNDS]
WAVEFORM = ["wav2vec2-group", "wav2vec2-layer", "hubert-group", "wavlm-group", "wavlm-layer"]
KINDS = [*WAVEFORM, "sew-group", "ast", "clap", "clap-fused"]


def build_waveform(kind):
    name, _, norm = kind.partition("-")
    config_class, model_class, more = {
        "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model, {}),
        "hubert": (transformers.HubertConfig, transformers.HubertModel, {}),
        "wavlm": (transformers.WavLMConfig, transformers.WavLMModel, {}),
        "sew": (transformers.SEWConfig, transformers.SEWModel, {"squeeze_factor": 2}),
    }[name]
    if name != "sew":
        more = {"do_stable_layer_norm": norm == "layer"}
    config = config_class(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        conv_dim=[16] * 3,
        conv_kernel=[10, 8, 8],
        conv_stride=[5, 8, 8],
        conv_bias=norm == "layer",
        feat_extract_norm=norm,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        vocab_size=8,
        **more,
    )
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    return model_class(config), extractor


def build_ast(kind):
    options = {"max_length": 128, "num_mel_bins": 32}  # 1.28 seconds
    config = transformers.ASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, **options
    )
    return transformers.ASTModel(config), transformers.ASTFeatureExtractor(**options)


def build_clap(kind):
    fuses = kind == "clap-fused"
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    audio = {
        "hidden_size": 32,
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "spec_size": 64,
        "num_mel_bins": 16,
        "window_size": 4,
        "patch_stride": [4, 4],
        "enable_fusion": fuses,
    }
    config = transformers.ClapConfig(
        text_config=text | {"intermediate_size": 16}, audio_config=audio, projection_dim=24
    )
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16,
        max_length_s=2,
        sampling_rate=RATE,
        frequency_max=8000,
        hop_length=160,
        truncation="fusion" if fuses else "rand_trunc",
    )
    return transformers.ClapModel(config), extractor


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a function from the kind of a model to its folder, the model and its extractor."""
    built = {}

    def build(kind):
        if kind not in built:
            builder = {"ast": build_ast, "clap": build_clap}.get(kind.split("-")[0], build_waveform)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model, extractor = builder(kind)
                for parameter in model.parameters():
                    if parameter.ndim > 1:  # weights as they are drawn make vectors all alike
                        parameter.data += 0.1 * torch.randn_like(parameter)
            folder = tmp_path_factory.mktemp(kind)
            model.eval().save_pretrained(folder)
            extractor.save_pretrained(folder)
            built[kind] = str(folder), model, extractor
        return built[kind]

    return build


def call(model, extractor, sound):
    """Encode one sound as the documentation of transformers does."""
    inputs = extractor(sound, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        if isinstance(model, transformers.ClapModel):
            output = model.get_audio_features(**inputs)
            return (output if torch.is_tensor(output) else output.pooler_output)[0].numpy()
        output = model(**inputs)
    if isinstance(model, transformers.ASTModel):
        return output.pooler_output[0].numpy()
    return output.last_hidden_state[0].mean(dim=0).numpy()


def encode(folder, *cells, **options):
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return AudioEncoder(folder, **{"cache": None, **options}).fit(column).transform(column)


def encoded(samples, rate=RATE, format="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


# Vectors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_vectors_are_those_of_transformers(saved, kind, batch_size):
    folder, model, extractor = saved(kind)
    vectors = encode(folder, *CELLS, batch_size=batch_size)
    expected = np.stack([call(model, extractor, sound) for sound in SOUNDS])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert np.abs(vectors - vectors.mean(axis=0)).max() > 1e-2  # or nothing is shown


@pytest.mark.parametrize("kind", ["wav2vec2-layer", "wavlm-group", "clap-fused"])
@settings(max_examples=10, deadline=None)
@given(
    rows=st.lists(st.integers(0, len(CELLS) - 1), min_size=1, max_size=7),
    batch_size=st.integers(1, 4),
)
def test_order_batches_subsets_and_duplicates_change_nothing(saved, kind, rows, batch_size):
    folder = saved(kind)[0]
    vectors = encode(folder, *CELLS)
    some = encode(folder, *[CELLS[row] for row in rows], batch_size=batch_size)
    np.testing.assert_allclose(some, vectors[rows], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_very_short_sounds(saved, kind):
    cells = [(np.full(n, 0.1), RATE) for n in (1, 50, 399, 500)]
    folder = saved(kind)[0]
    vectors = encode(folder, *cells, CELLS[0])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(encode(folder, *cells[:1]), vectors[:1], atol=1e-5)


def test_numpy_keeps_its_random_state(saved):
    before = np.random.get_state()[1:3]
    encode(saved("clap-fused")[0], *CELLS)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert np.random.get_state()[2] == before[1]


def test_pooling_and_layers(saved):
    folder, model, extractor = saved("wav2vec2-layer")
    inputs = extractor(SOUNDS[1], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    layers, (last,) = output.hidden_states, output.last_hidden_state
    spread = last.std(dim=0, correction=0)
    for options, expected in [
        ({"pooling": "mean"}, last.mean(dim=0)),
        ({"pooling": "max"}, last.amax(dim=0)),
        ({"pooling": "mean_std"}, torch.cat([last.mean(dim=0), spread])),
        ({"layer": 1}, layers[1][0].mean(dim=0)),
        ({"layer": -3, "pooling": "max"}, layers[0][0].amax(dim=0)),
    ]:
        vectors = encode(folder, *CELLS, **options)
        np.testing.assert_allclose(vectors[1], expected, atol=1e-5)
        encoder = AudioEncoder(folder, **options).fit(CELLS)
        assert len(encoder.get_feature_names_out()) == vectors.shape[1]


def test_precision(saved):
    folder = saved("wav2vec2-layer")[0]
    full, half = encode(folder, *CELLS), encode(folder, *CELLS, precision="bfloat16")
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.1 * np.abs(full).max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_gives_what_the_cpu_gives(saved, kind):
    folder = saved(kind)[0]
    on_cpu = encode(folder, *CELLS, device="cpu")
    for batch_size in (1, 4):
        on_gpu = encode(folder, *CELLS, device="cuda", batch_size=batch_size)
        np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


# Windows


@pytest.mark.parametrize("kind", ["wav2vec2-group", "wavlm-layer", "ast", "clap"])
def test_long_sounds_are_averages_of_their_windows(saved, kind):
    folder, model, extractor = saved(kind)
    sound = RNG.normal(0, 0.1, 42_000).astype(np.float32)
    vectors = encode(folder, CELLS[0], (sound, RATE), CELLS[1], window_seconds=1, batch_size=2)
    parts = [call(model, extractor, part) for part in np.split(sound, [16_000, 32_000])]
    expected = np.average(parts, axis=0, weights=[16, 16, 10])
    np.testing.assert_allclose(vectors[1], expected, atol=1e-5)
    np.testing.assert_allclose(vectors[0], call(model, extractor, SOUNDS[0]), atol=1e-5)


def test_windows_are_as_long_as_the_model_takes(saved):
    folder, model, extractor = saved("clap")  # of two seconds
    sound = RNG.normal(0, 0.1, 5 * RATE).astype(np.float32)
    parts = [call(model, extractor, part) for part in np.split(sound, [2 * RATE, 4 * RATE])]
    expected = np.average(parts, axis=0, weights=[2, 2, 1])
    np.testing.assert_allclose(encode(folder, (sound, RATE))[0], expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"window_seconds=2\.1 .*\b2 seconds"):
        encode(folder, (sound, RATE), window_seconds=2.1)


def test_long_files_take_little_memory(saved, tmp_path):
    path = tmp_path / "long.flac"
    minute = RNG.normal(0, 0.1, 60 * RATE).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        for _ in range(5):
            file.write(minute)
    encoder = AudioEncoder(saved("wav2vec2-layer")[0], window_seconds=5, batch_size=2, cache=None)
    short = encoder.fit([None]).transform([(minute, RATE)])
    tracemalloc.start()
    (vector,) = encoder.transform([path])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(vector, short[0], atol=1e-4)  # 16 bits
    assert peak < 7e6  # the decoded sound is of 19 MB


# Cells


def test_one_sound_in_every_form_has_one_vector(saved, tmp_path):
    folder = saved("wav2vec2-group")[0]
    integers = np.round(SOUNDS[1] * 2**15).astype(np.int16)
    path = tmp_path / "sound.wav"
    path.write_bytes(encoded(integers))
    cells = [
        path,
        str(path),
        encoded(integers),
        encoded(integers, format="FLAC"),
        (integers, RATE),
        (np.stack([integers, integers]) / 2**15, RATE),
        (torch.from_numpy(integers / 2**15), RATE),
        {"array": integers, "sampling_rate": RATE},
        {"path": str(path), "bytes": None},
        integers,
    ]
    for cache in (None, "memory"):
        vectors = encode(folder, *cells, sampling_rate=RATE, cache=cache)
        np.testing.assert_allclose(vectors, np.repeat(vectors[:1], len(cells), axis=0), atol=1e-5)
    elsewhere = encode(folder, str(path), filesystem=fsspec.filesystem("file"))
    np.testing.assert_allclose(elsewhere, vectors[:1], atol=1e-5)


def test_other_sampling_rates_are_resampled(saved):
    folder = saved("wav2vec2-layer")[0]
    tones = [np.sin(2 * np.pi * 440 * np.arange(rate) / rate) / 2 for rate in (RATE, 44100)]
    right, resampled = encode(folder, (tones[0], RATE), encoded(tones[1], 44100))
    wrong = encode(folder, (tones[1], RATE))[0]
    assert np.abs(right - resampled).max() < 0.2 * np.abs(right - wrong).max()


def test_file_in_a_dict_is_read_again_when_it_changes(saved, tmp_path):
    folder = saved("wav2vec2-layer")[0]
    path = tmp_path / "sound.wav"
    path.write_bytes(encoded(SOUNDS[0]))
    first = encode(folder, {"path": str(path)}, cache="memory")
    path.write_bytes(encoded(SOUNDS[1]))
    second = encode(folder, {"path": str(path)}, cache="memory")
    assert np.abs(first - second).max() > 1e-3


def test_missing_cells(saved):
    vectors = encode(saved("ast")[0], None, CELLS[0], np.nan, pd.NA)
    assert np.isnan(vectors).all(axis=1).tolist() == [True, False, True, True]


def cut_flac(seconds):
    """A FLAC file that breaks off after more than two windows."""
    content = encoded(RNG.normal(0, 0.1, seconds * RATE), format="FLAC")
    return content[: int(0.8 * len(content))]


def test_broken_items(saved, tmp_path):
    folder = saved("wav2vec2-layer")[0]
    path = tmp_path / "cut.flac"
    path.write_bytes(cut_flac(20))
    column = pd.Series([CELLS[0], str(path), "gone.wav"], index=["a", "b", "c"], name="voice")
    options = {"cache": None, "window_seconds": 1, "batch_size": 2}
    match = r"AudioEncoder: column 'voice', row 1 \(index 'b'\): .*cut\.flac': .*errors="
    with pytest.raises(ValueError, match=match):
        AudioEncoder(folder, **options).fit_transform(column[:2])
    with pytest.warns(UserWarning, match=r"2 of 3 .*row 1 .*cut\.flac.*row 2 .*gone\.wav"):
        vectors = AudioEncoder(folder, errors="missing", **options).fit_transform(column)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True]
    np.testing.assert_allclose(vectors[:1], encode(folder, CELLS[0]), atol=1e-5)


@pytest.mark.parametrize("errors", ["raise", "missing"])
def test_what_is_no_sound_is_an_error_always(saved, errors):
    folder = saved("wav2vec2-layer")[0]
    with pytest.raises(TypeError, match=r"AudioEncoder: row 1: .* got int \(7\)"):
        encode(folder, None, 7, errors=errors)
    with pytest.raises(TypeError, match=r"row 0: .*sampling_rate"):
        encode(folder, SOUNDS[0], errors=errors)
    with pytest.raises(ValueError, match=r"AudioEncoder .*\[sound\]"):
        AudioEncoder(folder, errors=errors, sampling_rate=RATE).fit(SOUNDS[0])


# Models


def test_parameters(saved):
    for kind, options, match in [
        ("clap", {"pooling": "mean"}, "pooling='mean' .*layer=None .*'auto'"),
        ("ast", {"layer": 1}, r"pooling='auto' .*layer=1\b"),
        ("hubert-group", {"layer": 3}, r"layer=3 .*-3 to 2\b"),
        ("hubert-group", {"pooling": "median"}, "'pooling' .*'median'"),
        ("hubert-group", {"window_seconds": 0}, r"'window_seconds' .*\b0\b"),
        ("hubert-group", {"filesystem": "s3"}, "'filesystem' .*'s3'"),
    ]:
        with pytest.raises(ValueError, match=match):
            AudioEncoder(saved(kind)[0], **options).fit(CELLS)


def test_pickle(saved):
    encoder = AudioEncoder(saved("wavlm-group")[0], cache=None).fit(CELLS)
    data = pickle.dumps(encoder)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(CELLS), encoder.transform(CELLS))


def test_path_of_the_folder(saved):
    folder = saved("ast")[0]
    np.testing.assert_array_equal(encode(Path(folder), CELLS[0]), encode(folder, CELLS[0]))


def test_weights_that_are_not_there(saved, tmp_path):
    folder = shutil.copytree(saved("wav2vec2-layer")[0], tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"copy' .*'wav2vec2' .*encoder\.layers"):
        AudioEncoder(str(folder)).fit(CELLS)


def test_folder_without_the_settings_of_the_extractor(saved, tmp_path):
    folder = shutil.copytree(saved("wav2vec2-layer")[0], tmp_path / "copy")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(OSError, match=r"AudioEncoder: .*copy' .*preprocessor_config"):
        AudioEncoder(str(folder)).fit(CELLS)


def test_model_that_is_nowhere():
    with pytest.raises(OSError, match=r"AudioEncoder: .*'no/such' "):
        AudioEncoder("no/such").fit(CELLS)


def test_other_weights_are_refused(saved, tmp_path):
    folder, model, _ = saved("wav2vec2-layer")
    copy = shutil.copytree(folder, tmp_path / "copy")
    encoder = AudioEncoder(str(copy), cache=None).fit(CELLS)
    assert encoder.model_digest_ == AudioEncoder(folder).fit(CELLS).model_digest_
    with torch.no_grad():
        other = transformers.Wav2Vec2Model(model.config)
    other.save_pretrained(copy)
    with pytest.raises(ValueError, match=r"AudioEncoder .*copy'"):
        encoder.transform(CELLS)


def test_settings_of_the_extractor_are_part_of_the_model(saved, tmp_path):
    folder = saved("wav2vec2-layer")[0]
    copy = shutil.copytree(folder, tmp_path / "copy")
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(settings | {"do_normalize": False}))
    one, other = AudioEncoder(folder).fit(CELLS), AudioEncoder(str(copy)).fit(CELLS)
    assert one.model_digest_ != other.model_digest_
    assert np.abs(one.transform(CELLS) - other.transform(CELLS)).max() > 1e-3


def test_models_that_are_none_of_these(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"AudioEncoder .*{tmp_path.name}' .*'bert'"):
        AudioEncoder(str(tmp_path)).fit(CELLS)


def test_loading_says_nothing(saved, capfd):
    folder = shutil.copytree(saved("clap")[0], saved("clap")[0] + "-copy")
    capfd.readouterr()  # saving may have said something
    AudioEncoder(folder).fit(CELLS)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
