"""LoRA on MiniLM and AG News: tunesmith against transformers' Trainer with PEFT, at its defaults and at its best settings.

    python benchmarks/bench_lora.py [--rows 1000] [--repeats 3] [--epochs 1]

Same rows, epochs, rank 8, scale, layers and 256 tokens on both sides, in fresh processes. tunesmith pools by the mean as MiniLM was trained
to; the Trainer's side is AutoModelForSequenceClassification (first token), the usual way. The Trainer's rows are tokenized before its
clock starts, tunesmith's while it trains. tunesmith's whole process also writes and re-reads its bundle in a second process, checks it
and draws a report, which the Trainer's does not.
"""

from __future__ import annotations

from _pairs import ag_news, in_turn, options_of, parser, peer, table, tunesmith


def main() -> None:
    """Run the sides in turn and print the table."""
    made = parser(__doc__)
    made.add_argument("--epochs", type=int, default=1)
    options = options_of(made)
    files = ag_news(options.data, options.rows, "lora")
    shared = ["--epochs", str(options.epochs)]
    given = [*files, "--inputs", "text", "--label", "label", "--adapter", "lora", "--set", "backbone.max_length=256", *shared]
    found = in_turn(
        {
            "tunesmith": lambda: tunesmith(*given),
            "Trainer + PEFT, defaults": lambda: peer(options.peers, "trainer.py", *files, *shared),
            "Trainer + PEFT, best settings": lambda: peer(options.peers, "trainer.py", *files, *shared, "--settings", "best"),
        },
        options.repeats,
    )
    print(f"LoRA of rank 8 on MiniLM, AG News, {options.rows} training rows, epochs: {options.epochs}, rounds: {options.repeats}\n")
    print(table(found))


if __name__ == "__main__":
    main()
