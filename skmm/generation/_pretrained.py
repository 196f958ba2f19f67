"""Pretrained models of transformers as decoders behind a prefix: frozen, or with LoRA."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._optional import import_optional
from .._torch.modes import model_modes
from ..encoding.cache import digest_model
from ..encoding.engine import (
    Backbone,
    describe_files,
    load_from_hub,
    load_once,
    quiet_transformers,
    resolve_name,
)
from ._steppers import CausalStepper, SequenceStepper, join_inputs

ESTIMATOR = "FusionTextGenerator"
LORA_RANK, LORA_SCALE = 8, 16  # as in the examples of peft


class PretrainedSpec(NamedTuple):
    """Which model a decoder is, and how it is adapted, as plain data."""

    name: str  # on the hub, or a folder
    finetune: str | None
    seed: int  # of the first weights of LoRA
    n_tokens: int
    digest: str  # of its weights


class PretrainedVocabulary:
    """The tokenizer of a pretrained model, with its end of a text."""

    content = None  # it comes with the model

    def __init__(self, tokenizer: Any):
        self.tokenizer, self.end = tokenizer, tokenizer.eos_token_id

    def encode_source(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what is read of source texts; nothing of empty ones."""
        found = self.tokenizer(list(texts)).input_ids
        return [list(ids) if text else [] for ids, text in zip(found, texts, strict=True)]

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what is to be generated, with its end."""
        found = self.tokenizer(list(texts), add_special_tokens=False).input_ids
        return [[*ids, self.end] for ids in found]

    def decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of numbers, without special ones."""
        options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return [self.tokenizer.decode(ids, **options) for ids in sequences]


class PretrainedDecoder(nn.Module):
    """A model that is not trained, but for what LoRA adds to it.

    Its own weights are no parameters of this module, so that they are neither copied with its state
    nor stored with it; those of LoRA are.
    """

    def __init__(self, model: Any, adapter: Sequence[nn.Parameter]):
        super().__init__()
        self.hidden = (model,)  # in a tuple, where torch does not see it
        self.adapter = nn.ParameterList(adapter)

    @property
    def model(self) -> Any:
        """The model of transformers."""
        return self.hidden[0]

    def move(self, spec: PretrainedSpec, device: torch.device) -> None:
        """Compute on a device from now on; the model that all share stays where it is."""
        if spec.finetune is None:
            self.hidden = (load_model(spec.name, device).model,)
        else:
            self.model.to(device)

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether it reads its inputs with an encoder."""
        return bool(self.model.config.is_encoder_decoder)

    def logits(self, prefix: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Compute the logits of each token of a text (n, T, V) from those before it."""
        inputs = join_inputs(self.model, prefix, source)
        before = target[:, :-1].clamp(min=0)
        if self.is_encoder_decoder:
            start = torch.full_like(target[:, :1], self.model.config.decoder_start_token_id)
            output = self.model(
                inputs_embeds=inputs.embedded,
                attention_mask=inputs.present,
                decoder_input_ids=torch.cat([start, before], dim=1),
                use_cache=False,
            )
            return output.logits
        embedded = self.model.get_input_embeddings()(before)
        present = torch.cat([inputs.present, (target[:, :-1] >= 0).long()], dim=1)
        output = self.model(
            inputs_embeds=torch.cat([inputs.embedded, embedded], dim=1),
            attention_mask=present,
            position_ids=(present.cumsum(1) - 1).clamp(min=0),
            use_cache=False,
            logits_to_keep=target.shape[1],
        )
        return output.logits[:, -target.shape[1] :]

    def open(self, prefix: Tensor, source: Tensor) -> CausalStepper | SequenceStepper:
        """Read the inputs of rows, to generate their texts token by token."""
        inputs = join_inputs(self.model, prefix, source)
        stepper = SequenceStepper if self.is_encoder_decoder else CausalStepper
        return stepper(self.model, inputs)


class LoadedModel(NamedTuple):
    """A model that is loaded once in a process."""

    model: Any
    digest: str  # of the weights
    n_tokens: int
    width: int  # of its embeddings
    scale: float  # their root mean square


def load_model(name: str, device: torch.device) -> LoadedModel:
    """Load a causal or a sequence-to-sequence model, once in a process for each device.

    Raises
    ------
    OSError
        If it is neither on disk nor to be had from the hub.
    ValueError
        If it does not write texts.
    """
    name = resolve_name(name, estimator=ESTIMATOR)
    key, version = ("generation", name, str(device)), _describe_version(name)
    return load_once(key, lambda: _load_model(name, device), version=version).model


def load_vocabulary(name: str) -> PretrainedVocabulary:
    """Load the tokenizer of a model, once in a process.

    Raises
    ------
    OSError
        If there is none, on disk or on the hub.
    ValueError
        If it does not know where a text ends.
    """
    name = resolve_name(name, estimator=ESTIMATOR)
    key, version = ("generation tokenizer", name), _describe_version(name)
    return load_once(key, lambda: _load_vocabulary(name), version=version).model


def build_decoder(spec: PretrainedSpec, device: torch.device) -> PretrainedDecoder:
    """Return a decoder whose model is the one of this process, or a copy of it with LoRA.

    Raises
    ------
    ValueError
        If the model is not the one that ``spec`` was made of.
    """
    loaded = load_model(spec.name, device)
    if loaded.digest != spec.digest:
        raise ValueError(
            f"The model {spec.name!r} has other weights now than in fit. Restore those, or fit "
            "again."
        )
    if spec.finetune is None:
        return PretrainedDecoder(loaded.model, [])
    peft = import_optional("peft", extra="generation", purpose='finetune="lora"')
    config = peft.LoraConfig(r=LORA_RANK, lora_alpha=LORA_SCALE, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]), model_modes(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what peft asks of transformers
        torch.manual_seed(spec.seed)
        adapted = peft.get_peft_model(copy.deepcopy(loaded.model), config).to(device).eval()
    adapter = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    return PretrainedDecoder(adapted.get_base_model(), adapter)


def _describe_version(name: str) -> tuple | None:
    return describe_files(name) if os.path.exists(name) else None


def _load_model(name: str, device: torch.device) -> Backbone:
    transformers = _import_transformers()
    config = _load(name, transformers.AutoConfig)
    loader = transformers.AutoModelForCausalLM
    if getattr(config, "is_encoder_decoder", False):
        loader = transformers.AutoModelForSeq2SeqLM
    if type(config) not in loader._model_mapping:
        raise ValueError(
            f"decoder={name!r} is a {config.model_type} model, which does not write texts: give a "
            "causal model or one from sequence to sequence."
        )
    model = _load(name, loader, dtype=torch.float32).to(device).eval().requires_grad_(False)
    if model.config.is_encoder_decoder and model.config.decoder_start_token_id is None:
        raise ValueError(
            f"decoder={name!r} has no decoder_start_token_id in its configuration, the token that "
            "a text starts with."
        )
    weight = model.get_input_embeddings().weight
    scale = float(weight.float().square().mean().sqrt())
    n_tokens, width = weight.shape
    loaded = LoadedModel(model, digest_model(model), n_tokens, width, scale)
    return Backbone(loaded, loaded.digest, loaded.width)


def _load_vocabulary(name: str) -> Backbone:
    """Load a tokenizer that knows words, and where a text ends."""
    transformers = _import_transformers()
    try:
        tokenizer, cause = _load(name, transformers.AutoTokenizer), None
    except OSError as e:
        if not os.path.exists(name):
            raise
        tokenizer, cause = None, e
    # Without files of one, transformers makes a tokenizer that knows no words.
    if tokenizer is None or not tokenizer("text", add_special_tokens=False).input_ids:
        raise OSError(
            f"{ESTIMATOR}: the model {name!r} comes without a tokenizer that loads. Save it beside "
            "the model: tokenizer.save_pretrained(folder)."
        ) from cause
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"{ESTIMATOR}: the tokenizer of {name!r} has no eos_token, by which a text ends. Set "
            "one and save it: tokenizer.eos_token = ...; tokenizer.save_pretrained(folder)."
        )
    return Backbone(PretrainedVocabulary(tokenizer), "", 0)


def _import_transformers():
    return import_optional("transformers", extra="generation", purpose=ESTIMATOR)


def _load(name: str, loader: Any, **options: Any) -> Any:
    """Load a part of a model, without a network if it is on disk."""
    folder, file = _find_gguf(name)

    def load() -> Any:
        with quiet_transformers():
            return loader.from_pretrained(folder, **file, **options)

    return load_from_hub(load, name=folder, estimator=ESTIMATOR)


def _find_gguf(name: str) -> tuple[str, dict[str, str]]:
    """Return the folder to load from; where all that it has is a GGUF file, the name of that."""
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        return str(path.parent), {"gguf_file": path.name}
    files = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if not files or (path / "config.json").exists():
        return name, {}
    import_optional("gguf", extra="generation", purpose=f"Loading {files[0].name}")
    if len(files) > 1:
        raise ValueError(
            f"decoder={name!r} holds {len(files)} GGUF files: give the path of one of them, such "
            f"as {str(files[0])!r}."
        )
    return name, {"gguf_file": files[0].name}
