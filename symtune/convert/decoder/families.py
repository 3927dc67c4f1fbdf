"""The families of decoder-only models, and the fields of configs without effect."""

import enum

from symtune.errors import SymtuneError
from symtune.model.decoder.config import Block, DecoderConfig, Norm, Positions


class Family(enum.StrEnum):
  """A family, by the model_type in its config.json.

  Members:
    LLAMA: Llama 1 to 3, SmolLM2, TinyLlama.
    MISTRAL: Mistral, with or without a sliding window.
    QWEN2: Qwen 2 and 2.5.
    QWEN3: Qwen 3.
    GEMMA3: Gemma 3 for text alone.
    GPT_NEOX: GPT-NeoX and Pythia.
    GPT2: GPT-2.
  """

  LLAMA = "llama"
  MISTRAL = "mistral"
  QWEN2 = "qwen2"
  QWEN3 = "qwen3"
  GEMMA3 = "gemma3_text"
  GPT_NEOX = "gpt_neox"
  GPT2 = "gpt2"


# The class of each family whose outputs are logits.
ARCHITECTURES = {
  Family.LLAMA: "LlamaForCausalLM",
  Family.MISTRAL: "MistralForCausalLM",
  Family.QWEN2: "Qwen2ForCausalLM",
  Family.QWEN3: "Qwen3ForCausalLM",
  Family.GEMMA3: "Gemma3ForCausalLM",
  Family.GPT_NEOX: "GPTNeoXForCausalLM",
  Family.GPT2: "GPT2LMHeadModel",
}

# Fields that do not change the logits of a network that is not being trained.
HARMLESS = frozenset(
  (
    # What the file is, and what wrote it.
    *("_name_or_path", "_model_name_or_path", "model_type", "transformers_version"),
    *("torch_dtype", "dtype", "tokenizer_class", "unk_token_id", "finetuning_task"),
    *("transformers.js_config", "unsloth_version", "unsloth_fixed"),
    # How the parameters began, and what was dropped in training. symtune drops nothing.
    *("initializer_range", "attention_dropout", "hidden_dropout", "resid_pdrop"),
    *("embd_pdrop", "attn_pdrop", "classifier_dropout", "pretraining_tp"),
    # How the computation is done.
    *("use_cache", "cache_implementation", "chunk_size_feed_forward", "torchscript"),
    *("_attn_implementation_autoset", "_attn_implementation", "attn_implementation"),
    *("use_bfloat16", "reorder_and_upcast_attn", "is_decoder", "tf_legacy_loss"),
    *("gradient_checkpointing", "output_past"),
    # What is returned besides logits, and other outputs than a language model's.
    *("output_hidden_states", "output_attentions", "return_dict", "id2label"),
    *("label2id", "problem_type", "num_labels", "output_scores", "summary_type"),
    *("_num_labels", "n_special", "predict_special_tokens"),
    *("summary_use_proj", "summary_activation", "summary_proj_to_labels"),
    *("summary_first_dropout", "return_dict_in_generate", "task_specific_params"),
    # How text is generated, which is the experiment's choice.
    *("max_length", "min_length", "do_sample", "early_stopping", "num_beams"),
    *("num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p"),
    *("typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences"),
    *("remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens"),
    *("begin_suppress_tokens", "prefix", "sep_token_id", "decoder_start_token_id"),
    "n_ctx",  # GPT-2: the same as n_positions, which is read
    "max_sequence_length",  # Llama: the same as max_position_embeddings, which is read
  )
)


def family_of(config: DecoderConfig) -> Family:
  """The family that a network's settings belong to.

  Args:
    config: settings of the network.

  Returns:
    The plainest family that has them, if any has. A Mistral without a window is a
    Llama: Transformers computes the same for both.

  Raises:
    SymtuneError: the network has no positions, which no family has.
  """
  if config.positions is Positions.NONE:
    raise SymtuneError(
      "got a network with positions = none, expected rotary or learned ones: "
      "Transformers has no such family."
    )
  if config.positions is Positions.LEARNED:
    return Family.GPT2
  if config.norm is Norm.LAYER:
    return Family.GPT_NEOX
  if config.block is Block.SANDWICH:
    return Family.GEMMA3
  if config.has_qk_norm:
    return Family.QWEN3
  if config.has_qkv_bias and not config.has_out_bias:
    return Family.QWEN2
  return Family.LLAMA if config.window is None else Family.MISTRAL
