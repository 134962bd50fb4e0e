"""transformers `generate`: sampling at temperature 1, KV cache, fixed length.

    python generation.py MODEL_DIRECTORY BATCH PROMPT_LENGTH NEW_TOKENS
"""

from __future__ import annotations

import sys
import time

import side

import torch
import transformers
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
directory, batch, prompt_length, new_tokens = sys.argv[1], *map(int, sys.argv[2:5])
torch.manual_seed(0)


def build(attention: str):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation=attention).eval()
    prompts = torch.randint(0, model.config.vocab_size, (batch, prompt_length))

    def run(new_tokens: int = new_tokens) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            result = model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                eos_token_id=None,
                pad_token_id=0,
            )
        seconds = time.perf_counter() - start
        assert result.shape == (batch, prompt_length + new_tokens)
        return seconds

    return run


candidates = {f"{a} attention": build(a) for a in ("sdpa", "eager")}
# Half the tokens: enough to see which is faster, and batches of a larger model take long.
best = side.best_of({name: (lambda run=run: run(new_tokens // 2)) for name, run in candidates.items()})
run = candidates[best]


def work() -> dict:
    stopwatch = side.Stopwatch()
    run()
    return {**stopwatch.read(), "tokens": batch * new_tokens}


side.serve(
    {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "settings": f"{best}, dynamic cache, {torch.get_num_threads()} threads",
    },
    work,
)
