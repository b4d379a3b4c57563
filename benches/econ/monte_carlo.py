#!/usr/bin/env python3
"""The Monte Carlo of `grist econ simulate` in numpy: the same model, its speed, and whether both give the same quantiles.

    cargo run --release -p econ --example monte_carlo_speed > rust.json
    python3 benches/econ/monte_carlo.py rust.json

Needs numpy. Prints a Markdown table. The two draw from different generators, so their quantiles differ by chance; each
difference is given in standard errors, estimated from batches of numpy's paths. Exits with 1 where one is above 5.
"""

import json
import sys
import time

import numpy as np

HOURS, DAYS = 720.0, 30
RUNS = 9
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def walk(rng, drift, volatility, years, shape):
    """Logarithm of a geometric Brownian motion along the last axis."""
    mean = (np.log1p(drift) - volatility**2 / 2) * years
    return np.cumsum(mean + volatility * np.sqrt(years) * rng.standard_normal(shape), axis=-1)


def run(model, paths, rng):
    """Net of each path after each month: an array of paths × months."""
    months = model["months"]
    shape = (paths, months)

    log_price = np.zeros(shape)
    log_price[:, 1:] = walk(
        rng, model["price_drift_per_year"], model["price_volatility_per_year"], 1 / 12, (paths, months - 1)
    )
    price = model["price_usd_per_hour"] * np.exp(log_price)

    failures = rng.poisson(model["failures_per_year"] / 12, shape)
    down = np.zeros(shape)
    pending = np.zeros(paths)
    for month in range(months):
        pending += failures[:, month] * model["downtime_days"] * 24
        down[:, month] = np.minimum(pending, HOURS)
        pending -= down[:, month]

    mean, concentration = model["utilization_mean"], model["utilization_concentration"]
    share = rng.beta(mean * concentration, (1 - mean) * concentration, shape)
    earning = (HOURS - down) * share
    idle = HOURS - down - earning
    paid = earning * price

    payout = model["payout"]
    if payout == "dollars":
        gross = np.cumsum(paid, axis=1)
    else:
        token = payout["token"]
        drift, volatility = token["drift_per_year"], token["volatility_per_year"]
        if token["conversion"] == "daily":
            log = walk(rng, drift, volatility, 1 / 12 / DAYS, (paths, months * DAYS))
            factor = np.exp(log).reshape(paths, months, DAYS).mean(axis=2)
            gross = np.cumsum(paid * factor, axis=1)
        else:
            log = walk(rng, drift, volatility, 1 / 12, shape)
            gross = np.cumsum(paid, axis=1) * np.exp(log)

    month = np.arange(months)
    tariff = model["tariff_usd_per_kwh"] * (1 + model["tariff_drift_per_year"]) ** (month / 12)
    power = np.cumsum((earning * model["watts"] + idle * model["idle_watts"]) / 1000 * tariff, axis=1)
    fixed = model["fixed_usd_per_month"] * (month + 1)
    repairs = np.cumsum(failures * model["repair_usd"], axis=1)
    depreciation = (model["hardware_usd"] - model["residual_usd"]) * (month + 1) / months
    return gross * (1 - model["fee_rate"]) - power - fixed - repairs - depreciation


def summary(net):
    """What is compared, of the nets after the last month; the months' quantiles are computed as in the program."""
    last = net[:, -1]
    values = {name: np.quantile(last, share) for name, share in QUANTILES.items()}
    return values | {"mean_net": last.mean(), "loss_probability": (last < 0).mean()}


def measure(model, paths):
    """Median time of a run with its fan, in seconds."""
    times = []
    for seed in range(RUNS):
        rng = np.random.Generator(np.random.SFC64(seed))
        start = time.perf_counter()
        net = run(model, paths, rng)
        np.quantile(net, list(QUANTILES.values()), axis=0)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main():
    with open(sys.argv[1]) as file:
        cases = json.load(file)
    worst = 0.0
    print(f"numpy {np.__version__}, {next(iter(cases.values()))['paths']} paths of a year\n")
    print("| pay | econ ms | numpy ms | econ paths/s | numpy paths/s | largest difference |")
    print("|---|--:|--:|--:|--:|---|")
    for name, rust in cases.items():
        model, paths = rust["model"], rust["paths"]
        seconds = measure(model, paths)
        batches = [summary(run(model, paths, np.random.default_rng(1000 + seed))) for seed in range(20)]
        ours = rust["net"] | {key: rust[key] for key in ("mean_net", "loss_probability")}
        off = {}
        for key, value in ours.items():
            of_batches = np.array([batch[key] for batch in batches])
            off[key] = (value - of_batches.mean()) / (of_batches.std(ddof=1) * np.sqrt(1 + 1 / 20) + 1e-12)
        key = max(off, key=lambda key: abs(off[key]))
        worst = max(worst, abs(off[key]))
        print(
            f"| {name.replace('_', ' ')} | {rust['median_ms']:.1f} | {seconds * 1e3:.1f} "
            f"| {rust['paths_per_second']:,.0f} | {paths / seconds:,.0f} "
            f"| {key}: {ours[key]:.3f}, {abs(off[key]):.1f} standard errors |"
        )
    if worst > 5:
        sys.exit(f"the two do not compute the same model: {worst:.1f} standard errors apart")


if __name__ == "__main__":
    main()
