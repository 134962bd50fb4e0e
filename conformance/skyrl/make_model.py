"""Writes a tiny random Qwen3 (float32, tied embeddings) with a word tokenizer into the directory given."""

import sys

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

VOCABULARY = 128

target = sys.argv[1]
torch.manual_seed(0)
config = Qwen3Config(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=512,
    tie_word_embeddings=True,
    bos_token_id=0,
    eos_token_id=1,
    dtype="float32",
)
model = Qwen3ForCausalLM(config).float()
with torch.no_grad():
    # The default initialisation is so small that every token is equally likely: nothing to tell right from wrong by.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.mul_(4)
model.save_pretrained(target)
words = {f"w{i}": i for i in range(VOCABULARY)}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="w2"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="w0", eos_token="w1", pad_token="w1", unk_token="w2").save_pretrained(target)
