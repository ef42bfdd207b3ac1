"""Tiny sound networks with random weights, as the hub holds them: every family that tunesmith reads, and its own small one."""

from __future__ import annotations

from pathlib import Path

import transformers

from tunesmith.backbones._small_sounds import Shape, Small, SmallListener

QUIET = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0, "layerdrop": 0.1}
WAVES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "initializer_range": 0.2,
    **QUIET,
}


def small(folder: Path) -> None:
    """tunesmith's own."""
    shape = Shape(bands=16, channels=4, width=24, mixers=1, reach=3)
    network = Small(shape)
    SmallListener("small", None, shape, 8000, (-6.0,), (4.0,)).save(network, network.state_dict(), folder)


def wav2vec2(folder: Path, norm: str = "group") -> None:
    """One whose first norm goes over the whole recording (`group`), or over the channels of each frame (`layer`)."""
    config = transformers.Wav2Vec2Config(**WAVES, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer", conv_bias=norm == "layer")
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)


def kin(folder: Path, name: str) -> None:
    """A network of Wav2Vec2's kind: Hubert, WavLM, UniSpeech, UniSpeechSat."""
    config = getattr(transformers, f"{name}Config")(**WAVES)
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)


def spectrogram(folder: Path) -> None:
    """The Audio Spectrogram Transformer, of 64 frames."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "initializer_range": 0.2}
    config = transformers.ASTConfig(**sizes, num_mel_bins=32, max_length=64, patch_size=8, frequency_stride=8, time_stride=8)
    transformers.ASTModel(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64, mean=-6.0, std=3.0).save_pretrained(folder)


def whisper(folder: Path) -> None:
    """Whisper, with its decoder, of windows of one second."""
    encoder = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "max_source_positions": 50}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64, "vocab_size": 60}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = transformers.WhisperConfig(**encoder, **decoder, **tokens, num_mel_bins=20, init_std=0.2)
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(folder)


def writer(folder: Path) -> None:
    """Whisper with its decoder and a tokenizer of bytes, of windows of one second, as fine-tuning starts from it."""
    from tokenizers import pre_tokenizers

    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    vocabulary = {token: place for place, token in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), *marks])}
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": marks[1:]})
    tokenizer.save_pretrained(folder)
    end, start = vocabulary[marks[0]], vocabulary[marks[1]]
    encoder = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "max_source_positions": 50}
    decoder = {"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 64, "vocab_size": len(vocabulary)}
    tokens = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    config = transformers.WhisperConfig(**encoder, **decoder, **tokens, max_target_positions=64, num_mel_bins=20, init_std=0.4)
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(folder)
