"""SetFit at its defaults: contrastive tuning of MiniLM on pairs of a few labelled texts, then logistic regression."""

from __future__ import annotations

import argparse
import tempfile
import time

from _told import minilm, told
from datasets import load_dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> None:
    """Train, score the test rows, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    data = load_dataset("csv", data_files={"train": options.train, "test": options.test}, cache_dir=tempfile.mkdtemp())
    model = SetFitModel.from_pretrained(minilm(), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(output_dir=folder, num_epochs=options.epochs, show_progress_bar=False)
        trainer = Trainer(model=model, args=arguments, train_dataset=data["train"])
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    predicted = model.predict(list(data["test"]["text"]))
    right = [str(found) == wanted for found, wanted in zip(predicted, data["test"]["label"], strict=True)]
    told(seconds, sum(right) / len(right), epochs=options.epochs)


if __name__ == "__main__":
    main()
