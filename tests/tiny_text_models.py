"""Tiny models of transformers with random weights, and a tokenizer that knows a few words."""

import torch

from skmm.encoding.engine import patch_torchvision

WORDS = "a red green blue dark grey cat dog bird fish hat"
N_TOKENS = 320


def make_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def make_model(kind):
    """Make a model: "llama" and "gpt2" are causal, "t5" and "bart" go from sequence to sequence."""
    patch_torchvision()
    import transformers

    ids = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": 1}
    if kind == "llama":
        config = transformers.LlamaConfig(
            vocab_size=N_TOKENS,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            **ids,
        )
        cls = transformers.LlamaForCausalLM
    elif kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=N_TOKENS, n_embd=16, n_layer=2, n_head=2, n_positions=128, **ids
        )
        cls = transformers.GPT2LMHeadModel
    elif kind == "t5":
        config = transformers.T5Config(
            vocab_size=N_TOKENS,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
            **ids,
        )
        cls = transformers.T5ForConditionalGeneration
    else:
        config = transformers.BartConfig(
            vocab_size=N_TOKENS,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            scale_embedding=True,
            decoder_start_token_id=1,
            forced_eos_token_id=None,
            **ids,
        )
        cls = transformers.BartForConditionalGeneration
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config).eval()
        with torch.no_grad():  # so that what they read makes a difference to what they write
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def save_model(folder, kind):
    """Save a model with its tokenizer; return the folder as a string."""
    make_model(kind).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return str(folder)
