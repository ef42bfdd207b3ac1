"""A head on a frozen MiniLM, AG News: tunesmith's `probe` and `head` against the Trainer and against scikit-learn on sentence embeddings.

    python benchmarks/bench_probe.py [--rows 1000] [--repeats 3]

The Trainer trains a linear layer for 5 epochs with the network frozen, at its defaults and at its best settings. The scikit-learn side
embeds each row once by sentence-transformers and fits LogisticRegression, with and without a search of the penalty. tunesmith runs with
an empty feature cache (cold) and with one that a run before it filled (warm). Its seconds of training hold those in which the features
of the training rows are computed; those of the Trainer its epochs. Neither holds validation and test rows. Whole processes also hold
the imports, these rows, and on tunesmith's side the bundle, its check in a second process, and the report.
"""

from __future__ import annotations

from _pairs import WORK, ag_news, in_turn, options_of, parser, peer, table, tunesmith


def main() -> None:
    """Run the sides in turn and print the table."""
    options = options_of(parser(__doc__))
    files = ag_news(options.data, options.rows, "probe")
    ends = [files[0], files[2]]
    given = [*files, "--inputs", "text", "--label", "label", "--set", "backbone.max_length=256"]
    head = ["--adapter", "head", "--epochs", "5"]
    warm = WORK / "probe" / "cache"
    tunesmith(*given, *head, cache=warm)
    found = in_turn(
        {
            "tunesmith probe, cold": lambda: tunesmith(*given, "--adapter", "probe"),
            "tunesmith probe, warm": lambda: tunesmith(*given, "--adapter", "probe", cache=warm),
            "tunesmith head, 5 epochs, cold": lambda: tunesmith(*given, *head),
            "tunesmith head, 5 epochs, warm": lambda: tunesmith(*given, *head, cache=warm),
            "Trainer, frozen, 5 epochs, defaults": lambda: peer(options.peers, "trainer.py", *files, *head),
            "Trainer, frozen, 5 epochs, best settings": lambda: peer(options.peers, "trainer.py", *files, *head, "--settings", "best"),
            "sentence-transformers + LogisticRegression": lambda: peer(options.peers, "logistic.py", *ends),
            "sentence-transformers + LogisticRegressionCV": lambda: peer(options.peers, "logistic.py", *ends, "--cv"),
        },
        options.repeats,
    )
    print(f"A head on frozen MiniLM, AG News, {options.rows} training rows, rounds: {options.repeats}\n")
    print(table(found))


if __name__ == "__main__":
    main()
