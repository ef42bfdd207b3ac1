"""transformers' Trainer on MiniLM: LoRA by PEFT, or a linear head on the frozen network.

`--settings defaults` leaves TrainingArguments as they are but for the evaluation at the end of each epoch, which tunesmith does too.
`--settings best` is what a careful user sets: batches of 32 texts of like length, no checkpoints, tunesmith's learning rate and warmup.
Rows are tokenized once, before the clock of training starts (tunesmith's is running while it tokenizes); evaluation is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
from _told import minilm, told
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

BEST = {
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "train_sampling_strategy": "group_by_length",
    "save_strategy": "no",
    "warmup_steps": 0.06,
    "weight_decay": 0.01,
    "dataloader_pin_memory": False,
}


class Clock(TrainerCallback):
    """Seconds between the begin and the end of epochs; evaluation follows the end."""

    seconds = 0.0

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds += time.perf_counter() - self.started


def main() -> None:
    """Train, score the test rows, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs=3, metavar="FILE", help="train, validation, test")
    parser.add_argument("--adapter", choices=["lora", "head"], default="lora")
    parser.add_argument("--settings", choices=["defaults", "best"], default="defaults")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    names = ("train", "validation", "test")
    data = load_dataset("csv", data_files=dict(zip(names, options.files, strict=True)), cache_dir=tempfile.mkdtemp())
    labels = sorted(set(data["train"]["label"]))
    tokenizer = AutoTokenizer.from_pretrained(minilm())

    def encode(rows: Any) -> Any:
        return {**tokenizer(rows["text"], truncation=True, max_length=256), "labels": [labels.index(label) for label in rows["label"]]}

    data = data.map(encode, batched=True, remove_columns=["text", "label"])
    model = AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=len(labels))
    if options.adapter == "lora":
        from peft import LoraConfig, get_peft_model

        # the rank, scale and layers of `tunesmith tune --adapter lora`
        targets = ["query", "key", "value", "attention.output.dense"]
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets))
    else:
        model.base_model.requires_grad_(False)
    chosen = {**BEST, "learning_rate": 1e-3 if options.adapter == "lora" else 5e-3} if options.settings == "best" else {}
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        trainer = Trainer(
            model=model,
            args=TrainingArguments(folder, num_train_epochs=options.epochs, eval_strategy="epoch", disable_tqdm=True, **chosen),
            train_dataset=data["train"],
            eval_dataset=data["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.train()
        found = trainer.predict(data["test"])
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    told(clock.seconds, float(np.mean(found.predictions.argmax(-1) == found.label_ids)), trainable=trainable, **chosen)


if __name__ == "__main__":
    main()
