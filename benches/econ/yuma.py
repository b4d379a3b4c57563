#!/usr/bin/env python3
"""Yuma 3 epochs in numpy: the same epochs as the program's, their speed, and whether both give the same dividends.

    cargo run --release -p econ --example yuma_speed > rust.json
    python3 benches/econ/yuma.py rust.json

Needs numpy. Prints a Markdown table. Exits with 1 where a dividend differs by more than a billionth.
"""

import json
import sys
import time

import numpy as np

RUNS = 3
KAPPA = 32_767 / 65_535
ALPHA = 1 - 975_000 / 1_000_000


def market(size):
    """The weights and stakes of `crates/econ/examples/yuma_speed.rs`."""
    row, column = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    weights = ((row * 7_919 + column * 104_729 + row * column * 31) % 1_000 + 1).astype(float)
    stake = (np.arange(size) % 17 + 1).astype(float)
    return weights, stake / stake.sum()


def consensus(stake, weights):
    """The stake-weighted median of every column."""
    order = np.argsort(weights, axis=0)
    ranked = np.take_along_axis(weights, order, axis=0)
    below = np.cumsum(stake[order], axis=0)
    first = np.argmax(below > stake.sum() - KAPPA, axis=0)
    return ranked[first, np.arange(weights.shape[1])]


def run(epochs, stake, weights):
    """The dividends after so many epochs, each with one row of weights moved on."""
    weights = weights.copy()
    bonds = np.zeros_like(weights)
    for epoch in range(epochs):
        row = epoch % len(weights)
        weights[row] = np.roll(weights[row], 1)
        normal = weights / weights.sum(axis=1, keepdims=True)
        limit = consensus(stake, normal)
        incentive = stake @ np.minimum(normal, limit)
        incentive /= incentive.sum()
        bonds = ALPHA * normal + (1 - ALPHA) * bonds
        dividends = (bonds / bonds.sum(axis=0)) @ incentive * stake
        dividends /= dividends.sum()
    return dividends


def main():
    with open(sys.argv[1]) as file:
        rust = json.load(file)
    weights, stake = market(rust["size"])
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        dividends = run(rust["epochs"], stake, weights)
        times.append(time.perf_counter() - start)
    ours, theirs = rust["epochs_per_second"], rust["epochs"] / float(np.median(times))
    difference = float(np.abs(dividends - np.array(rust["dividends"])).max())
    print(f"numpy {np.__version__}, {rust['size']} validators × {rust['size']} miners, {rust['epochs']} epochs\n")
    print("| | econ epochs/s | numpy epochs/s | ratio | largest difference of a dividend |")
    print("|---|--:|--:|--:|--:|")
    print(f"| Yuma 3 | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} | {difference:.1e} |")
    if difference > 1e-9:
        sys.exit("the two do not compute the same epochs")


if __name__ == "__main__":
    main()
