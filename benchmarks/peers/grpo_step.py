"""One GRPO step of TRL's GRPOTrainer: sample, reward, advantages, loss, backward, AdamW.

    python grpo_step.py MODEL_DIRECTORY PROMPTS COMPLETIONS PROMPT_LENGTH NEW_TOKENS full|random MICRO_BATCH ATTENTION

MICRO_BATCH completions go through the network at once (the rest by gradient accumulation). Every completion has exactly
NEW_TOKENS tokens; with `random` it ends, by an end-of-sequence token, at the length that our side gives it too. No KL
term, one update a step: TRL's defaults, with reporting and saving off.
"""

from __future__ import annotations

import sys
import tempfile

import side

import datasets
import torch
import transformers
import trl
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()
directory, prompts, completions, prompt_length, new_tokens = sys.argv[1], *map(int, sys.argv[2:6])
random_lengths, micro_batch, attention = sys.argv[6] == "random", int(sys.argv[7]), sys.argv[8]
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation=attention)
vocabulary = model.config.vocab_size

# One word a token, so that a prompt of N words has N tokens.
tokenizer = Tokenizer(models.WordLevel({f"t{i}": i for i in range(vocabulary)}, unk_token="t0"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
processing = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="t1", pad_token="t0")
rows = [
    {"prompt": " ".join(f"t{2 + (row * 37 + column * 101) % (vocabulary - 2)}" for column in range(prompt_length))}
    for row in range(4 * prompts)
]


def reward(completion_ids, **_) -> list[float]:
    """Share of even token ids: cheap, and never equal within a group."""
    wanted = completion_lengths(rounds.step) if random_lengths else [new_tokens] * len(completion_ids)
    assert sorted(map(len, completion_ids)) == sorted(wanted), [len(ids) for ids in completion_ids]
    return [sum(1 for t in ids if t % 2 == 0) / len(ids) for ids in completion_ids]


def completion_lengths(step: int) -> list[int]:
    """Tokens of each completion of a step: the same as completionLength in ours/workload.ts."""
    first = step * prompts * completions
    hashes = [((first + i + 1) * 0x9E3779B1) % 2**32 for i in range(prompts * completions)]
    return [1 + int(h / 2**32 * new_tokens) for h in hashes]


class EndAtLength(LogitsProcessor):
    """Forces row i of the batch to end with token `lengths[i]`, and no earlier."""

    def __init__(self, lengths: list[int], eos: int) -> None:
        self.lengths, self.eos, self.generated = torch.tensor(lengths), eos, 0

    def __call__(self, input_ids, scores):
        self.generated += 1
        ending = self.lengths == self.generated
        scores[:, self.eos] = float("-inf")
        scores[ending] = float("-inf")
        scores[ending, self.eos] = 0.0
        return scores


class NoMoreRounds(Exception):
    """The only way out of a trainer at the beginning of a step."""


class Rounds(TrainerCallback):
    """Holds every step until the harness asks for it."""

    def __init__(self) -> None:
        self.stopwatch = side.Stopwatch()
        self.step = -1

    def on_step_begin(self, args, state, control, **_):
        if not side.wait_for_round():
            raise NoMoreRounds
        self.step += 1
        self.stopwatch = side.Stopwatch()

    def on_step_end(self, args, state, control, **_):
        side.send(
            {
                **self.stopwatch.read(),
                "tokens": sum(completion_lengths(self.step)) if random_lengths else prompts * completions * new_tokens,
                "peakBytes": side.peak_bytes(),
            }
        )


rounds = Rounds()
if random_lengths:
    generate = model.generate

    def generate_with_lengths(*arguments, **options):
        processor = EndAtLength(completion_lengths(rounds.step), processing.eos_token_id)
        return generate(*arguments, logits_processor=LogitsProcessorList([processor]), **options)

    model.generate = generate_with_lengths

with tempfile.TemporaryDirectory() as output:
    config = GRPOConfig(
        output_dir=output,
        use_cpu=True,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=prompts * completions // micro_batch,
        num_generations=completions,
        max_completion_length=new_tokens,
        generation_kwargs={} if random_lengths else {"min_new_tokens": new_tokens},
        temperature=1.0,
        learning_rate=1e-5,
        max_steps=10_000,
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        bf16=False,
        fp16=False,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=processing,
        callbacks=[rounds],
    )
    side.send(
        {
            "ready": True,
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "trl": trl.__version__,
            },
            "settings": f"micro-batch {micro_batch}, {attention} attention, fused AdamW, {torch.get_num_threads()} threads",
        }
    )
    try:
        trainer.train()
    except NoMoreRounds:
        pass
