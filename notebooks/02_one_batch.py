# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # One batch
#
# Prompt number `i` of a mixture is a pure function of (seed, i). Prompts become tokens,
# several prompts share a packed row, and packed rows form batches with SeqIO's feature
# names.

# %%
from symtune.cards.load import load_suite
from symtune.cards.resources import resource_dir
from symtune.data.batches.batch import BatchShape, BatchStream
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.text.symbols import PoolSplit, SymbolCategory, make_pool
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer

# %%
vocab = SentencePieceVocab(resource_dir("tasks") / "microworld" / "vocab.model")
tasks = load_suite("microworld_train", None)
pool = make_pool(PoolSplit.TUNING, (SymbolCategory.INTEGERS,))
mixture = Mixture([(Ingredient(), tasks)], pool, seed=0)
print(mixture.prompt(7).inputs)

# %% [markdown]
# The same position gives the same prompt, no matter which prompts were built before.

# %%
assert mixture.prompt(7) == Mixture([(Ingredient(), tasks)], pool, seed=0).prompt(7)

# %%
tokenizer = PromptTokenizer(
  vocab, max_inputs=512, max_targets=16, min_exemplars_per_class=1
)
shape = BatchShape(batch_size=4, input_length=512, target_length=32, window=128)
stream = BatchStream(TokenStream(mixture, tokenizer), shape, seed=0)
batch = next(stream)
for name, value in batch.items():
  print(f"{name:24}{value.shape} {value[0, :12]}")

# %% [markdown]
# The next cell shows how full the packed rows are, and the position of the next batch.

# %%
share = (batch["encoder_segment_ids"] > 0).mean()
print(f"{share:.1%} of the input slots are used; next position: {stream.get_state()}")
assert share > 0.8
