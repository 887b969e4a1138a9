"""Writes golden.json: statistics of raw values beside their binned counts.

Made with scipy 1.17.1, numpy 2.4.6 (Python 3):
    python3 gen.py > golden.json
Bins are 40 quantiles of the reference. `wasserstein` is that of the raw
values, in sd of the reference; the Go side compares it within the bound it
states. `clipped` is the same after values are limited to the outer bins'
reach, which is what the Go side says it does. `ks` is that of values rounded
up to their bin's edge, so it must agree exactly.
"""
import json
import sys

import numpy as np
import scipy
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

rng = np.random.default_rng(11)


def case(name, ref, win):
    edges = np.unique(np.quantile(ref, np.arange(1, 40) / 40, method="inverted_cdf"))
    sd = float(np.std(ref, ddof=1))
    lo = edges[0] - min(max(edges[0] - ref.min(), sd / 2), 2 * sd)
    hi = edges[-1] + min(max(ref.max() - edges[-1], sd / 2), 2 * sd)

    def code(x):
        return np.searchsorted(edges, x, side="left")

    a = np.bincount(code(ref), minlength=len(edges) + 1)
    b = np.bincount(code(win), minlength=len(edges) + 1)
    return {
        "name": name,
        "edges": edges.tolist(),
        "min": float(ref.min()),
        "max": float(ref.max()),
        "sd": sd,
        "ref": a.tolist(),
        "win": b.tolist(),
        "wasserstein": float(wasserstein_distance(ref, win) / sd),
        "clipped": float(wasserstein_distance(np.clip(ref, lo, hi), np.clip(win, lo, hi)) / sd),
        "ks": float(ks_2samp(code(ref), code(win)).statistic),
        "js": float(jensenshannon(a, b, base=2)),
        # Cohen's formula without smoothing, which needs every bin of the reference filled.
        "w": float(np.sqrt(np.sum((b / b.sum() - a / a.sum()) ** 2 / (a / a.sum())))) if a.all() else None,
    }


def main():
    cases = []
    n = rng.normal(50, 8, 40_000)
    for shift in (0, 0.1, 0.25, 0.5, 1.0, 2.0):
        cases.append(case(f"normal shifted by {shift} sd", n, rng.normal(50 + 8 * shift, 8, 5000)))
    cases.append(case("normal, twice as wide", n, rng.normal(50, 16, 5000)))
    u = rng.uniform(0, 1, 40_000)
    cases.append(case("uniform shifted by .3", u, rng.uniform(0.3, 1.3, 5000)))
    e = rng.exponential(20, 40_000)
    cases.append(case("exponential, half again as large", e, rng.exponential(30, 5000)))
    t = rng.standard_t(3, 40_000) * 10
    cases.append(case("heavy tails shifted", t, rng.standard_t(3, 5000) * 10 + 8))
    i = rng.integers(0, 24, 40_000).astype(float)
    cases.append(case("hours, two later", i, np.minimum(rng.integers(0, 24, 5000) + 2.0, 25)))
    d = rng.choice([180.0, 337, 733, 1500, 2475], 40_000)
    cases.append(case("few values in other units", d, rng.choice([180.0, 337, 733, 1500, 2475], 3000) * 1.609))
    json.dump({"tool": f"scipy {scipy.__version__}, numpy {np.__version__}", "cases": cases}, sys.stdout, indent=None)
    sys.stdout.write("\n")


main()
