"""Whisper with its decoder (Radford et al. 2022), from a folder in hub format with its tokenizer.

    windows of 30 s --encoder--> frames --decoder, token by token--> <|startoftranscript|><|en|><|transcribe|><|notimestamps|> in being ...

It stands around `Audio`, which reads the sounds and runs the encoder, and opens the whole network in its place. The prompt is what the
tokenizer puts before a text for the language and the task; it is given, and the text and the end are learned.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from tunesmith.backbones import _checkpoints
from tunesmith.backbones._blocks import layers
from tunesmith.core.around import Around
from tunesmith.core.contracts import Backbone, Batch, Decoder, Features
from tunesmith.core.errors import BackboneError, require

if TYPE_CHECKING:
    from tunesmith.backbones._hub_sounds import Whisper

TOKENIZER = ("tokenizer.json", "vocab.json")
"""Files of which a folder with a tokenizer holds one."""


@final
@dataclass(frozen=True)
class WhisperWriter(Around, Decoder):
    """Whisper as a backbone that also writes.

    Attributes:
        inner: reads the sounds.
        listener: of `inner`.
        language: that is spoken; None for what the tokenizer takes by itself.
        translate: write English.
    """

    inner: Backbone
    listener: Whisper
    language: str | None
    translate: bool

    @property
    def name(self) -> str:  # type: ignore[override]  # a bundle names the backbone that reads the sounds
        return self.inner.name

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.inner.columns

    @property
    def augments(self) -> bool:  # type: ignore[override]
        return self.inner.augments

    # Texts

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's, told what it is to write.

        Raises:
            BackboneError: there is none, or it does not know the language.
        """
        transformers = require("transformers", "sound backbones in hub format")
        folder = self.listener.folder
        if not any((folder / name).is_file() for name in TOKENIZER):
            raise BackboneError(f"{folder} holds no tokenizer ({' or '.join(TOKENIZER)}), so no text can be made of what the decoder says")
        found = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        if self.language is None and not self.translate:
            return found
        try:
            found.set_prefix_tokens(language=self.language, task="translate" if self.translate else "transcribe", predict_timestamps=False)
            known = None not in found.prefix_tokens and found.unk_token_id not in found.prefix_tokens[1:]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackboneError(f"the tokenizer of {folder} cannot be told what to write: {str(error)[:300]}") from error
        if not known:
            wanted = f"the language {self.language!r}" if self.language else "translation"
            raise BackboneError(f"the tokenizer of {folder} knows no mark for {wanted}; leave task.language and task.translate out")
        return found

    @functools.cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """Ids before a text and behind it."""
        inside = self.tokenizer("a", add_special_tokens=False).input_ids
        whole = self.tokenizer("a").input_ids
        start = next((i for i in range(len(whole)) if whole[i : i + len(inside)] == inside), None)
        end = int(self.listener.config.eos_token_id)
        if start is None:
            raise BackboneError(f"the tokenizer of {self.listener.folder} does not frame texts as Whisper's does")
        return whole[:start] or [int(self.listener.config.decoder_start_token_id)], [end]

    @property
    def prompt(self) -> int:
        return len(self._frame[0])

    def spell(self, texts: Sequence[str]) -> list[list[int]]:
        before, behind = self._frame
        room = int(self.listener.config.max_target_positions) - len(before) - len(behind)
        inside = self.tokenizer(list(texts), add_special_tokens=False).input_ids
        return [[*before, *ids[:room], *behind] for ids in inside]

    def read(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return [str(self.tokenizer.decode(list(each), skip_special_tokens=True)).strip() for each in ids]

    # The network

    def open(self) -> nn.Module:
        transformers = require("transformers", "sound backbones in hub format")
        family = transformers.WhisperForConditionalGeneration
        network, loaded = _checkpoints.hub_network(self.listener.folder, family, self.listener.source)
        model: Any = network
        model.model.encoder.layerdrop = model.model.decoder.layerdrop = 0.0
        model.config.encoder_layerdrop = model.config.decoder_layerdrop = 0.0
        model.config.apply_spec_augment = False
        self.inner.__dict__["_loaded"] = loaded
        opened: nn.Module = model
        return opened

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        whole: Any = network
        return [*layers(whole.model.encoder), *layers(whole.model.decoder)]

    def features(self, network: nn.Module, batch: Batch) -> Features:
        return self.inner.features(_bare(network).model.encoder, batch)

    def logits(self, network: nn.Module, features: Features, ids: torch.Tensor | None) -> torch.Tensor:
        frames = features.tokens
        assert frames is not None, "Whisper gives one vector a frame"
        if ids is None:
            ids = torch.tensor([self._frame[0]], device=frames.device).expand(len(frames), -1)
        whole = _bare(network)
        hidden = whole.model.decoder(input_ids=ids, encoder_hidden_states=frames, use_cache=False).last_hidden_state
        found: torch.Tensor = whole.proj_out(hidden)
        return found

    def write(self, network: nn.Module, features: Features, beams: int, longest: int) -> tuple[list[list[int]], list[float]]:
        transformers = require("transformers", "sound backbones in hub format")
        from transformers.modeling_outputs import BaseModelOutput

        frames = features.tokens
        assert frames is not None, "Whisper gives one vector a frame"
        whole, (before, (end,)) = _bare(network), self._frame
        room = int(whole.config.max_target_positions) - len(before)
        told = whole.generation_config
        config = transformers.GenerationConfig(
            num_beams=beams,
            do_sample=False,
            max_new_tokens=min(longest, room),
            eos_token_id=end,
            pad_token_id=end,
            decoder_start_token_id=before[0],
            suppress_tokens=getattr(told, "suppress_tokens", None),
            begin_suppress_tokens=getattr(told, "begin_suppress_tokens", None),
        )
        prompt = torch.tensor([before], device=frames.device).expand(len(frames), -1)
        said = transformers.GenerationMixin.generate(
            whole,
            generation_config=config,
            encoder_outputs=BaseModelOutput(last_hidden_state=frames),
            attention_mask=torch.ones_like(frames[..., 0]),
            decoder_input_ids=prompt.contiguous(),
        )
        texts = [_until(each, end) for each in said[:, len(before) :].tolist()]
        return texts, self._sure(network, features, texts)

    def _sure(self, network: nn.Module, features: Features, texts: Sequence[Sequence[int]]) -> list[float]:
        """Mean log-probability of the ids of each row, and of the end where it was reached."""
        before, (end,) = self._frame
        room = int(_bare(network).config.max_target_positions)
        whole = [[*before, *ids, end][:room] for ids in texts]
        width = max(map(len, whole))
        assert features.tokens is not None
        padded = torch.tensor([[*ids, *[end] * (width - len(ids))] for ids in whole], device=features.tokens.device)
        logits = self.logits(network, features, padded[:, :-1])
        found = []
        for row, ids, logit in zip(padded, whole, logits, strict=True):  # row by row: (length, vocabulary) is large
            logp = logit[len(before) - 1 : len(ids) - 1].float().log_softmax(dim=-1)
            found.append(float(logp.gather(1, row[len(before) : len(ids), None]).mean()))
        return found

    def save(self, network: nn.Module, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
        self.listener.save(network, weights, folder)
        with _checkpoints.quiet():
            self.tokenizer.save_pretrained(str(folder))


def _bare(network: nn.Module) -> Any:
    """The network below an adapter that wraps it; adapters of its layers stand in place."""
    get: Any = getattr(network, "get_base_model", None)
    return network if get is None else get()


def _until(ids: Sequence[int], end: int) -> list[int]:
    """The ids before the first end."""
    return list(ids[: ids.index(end)]) if end in ids else list(ids)
