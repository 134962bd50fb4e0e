"""The peer of benchmarks/src/large.ts: one forward-backward-step of PyTorch (+ PEFT), a sequence at a time.

    large.py lora|full DIRECTORY SEQUENCES TIME
"""

import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

kind, directory, count, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="sdpa")
if kind == "lora":
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    )
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)
ids = torch.randint(0, model.config.vocab_size, (count, length))
start, cpu_start = time.perf_counter(), time.process_time()
for row in ids.split(1):
    (model(input_ids=row, labels=row, use_cache=False).loss / count).backward()
norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
optimizer.step()
optimizer.zero_grad()
seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
tokens = count * length
print(
    json.dumps(
        {
            "tokensPerSecond": tokens / seconds,
            "tokensPerCpuSecond": tokens / cpu_seconds,
            "peakGB": peak,
            "gradNorm": float(norm),
        }
    )
)
