"""Writes golden.json: reference values for the Go tests beside it.

Made with scipy 1.17.1, numpy 2.4.6, mpmath 1.4.1 (Python 3):
    python3 gen.py > golden.json
Far tails of the binomial and Poisson laws come from mpmath with 60 digits,
and scipy is checked against them.
"""
import json
import sys

import mpmath as mp
import numpy as np
import scipy
from scipy import special, stats

mp.mp.dps = 60


def num(x):
    """A float with all its digits; JSON has no infinities, none occur."""
    x = float(x)
    assert np.isfinite(x), x
    return x


def binomial_tail(k, n, p):
    """P(X >= k) by its sum, from the largest term down until nothing is added."""
    p = mp.mpf(p)
    term = mp.binomial(n, k) * p**k * (1 - p) ** (n - k)
    total, j = mp.mpf(0), k
    while j <= n:
        total += term
        if j > n * p and term < total * mp.mpf(10) ** -40:
            break
        term = term * (n - j) / (j + 1) * p / (1 - p)
        j += 1
    return total


def poisson_tail(k, lam):
    lam = mp.mpf(lam)
    term = mp.exp(-lam + k * mp.log(lam) - mp.loggamma(k + 1))
    total, j = mp.mpf(0), k
    while True:
        total += term
        if j > lam and term < total * mp.mpf(10) ** -40:
            return total
        j += 1
        term = term * lam / j


def close(a, b, rel):
    assert abs(float(a) - float(b)) <= rel * abs(float(b)), (a, b)


def main():
    out = {"tool": f"scipy {scipy.__version__}, numpy {np.__version__}, mpmath {mp.__version__}"}
    out["normal"] = [
        {"z": z, "p": num(stats.norm.sf(z))} for z in (-40, -8.2, -1, 0, 0.5, 1.96, 5, 8.2, 8.3, 12, 20, 30, 37)
    ]
    out["kolmogorov"] = [
        {"lambda": x, "p": num(special.kolmogorov(x))}
        for x in (0.05, 0.2, 0.3, 0.5, 0.8, 1, 1.17, 1.18, 1.19, 1.36, 2, 3, 4, 6, 8.5, 11, 15, 18)
    ]
    out["binomial"] = []
    for k, n, p in (
        (1, 10, 0.1), (5, 10, 0.5), (10, 10, 0.5), (1, 1_000_000, 1e-9), (60, 1000, 0.02), (150, 1000, 0.02),
        (300, 1000, 0.02), (5, 50, 3e-6), (20, 50, 3e-6), (50, 50, 3e-6), (600, 1_000_000, 0.0003),
        (2000, 1_000_000, 0.001), (501_000, 1_000_000, 0.5), (515_000, 1_000_000, 0.5), (990, 1000, 0.9), (3, 1000, 0.9),
    ):
        t = binomial_tail(k, n, p)
        close(stats.binom.sf(k - 1, n, p), t, 1e-8)
        out["binomial"].append({"k": k, "n": n, "p": p, "tail": num(t)})
    out["poisson"] = []
    for k, lam in ((1, 1e-12), (1, 0.5), (10, 2), (40, 2), (150, 20), (400, 100), (650, 100), (10_500, 10_000), (13_000, 10_000), (3, 40)):
        t = poisson_tail(k, lam)
        close(stats.poisson.sf(k - 1, lam), t, 1e-8)
        out["poisson"].append({"k": k, "lambda": lam, "tail": num(t)})
    out["clopper_pearson"] = []
    for k, n in ((0, 1), (0, 20), (20, 20), (1, 20), (7, 20), (3, 1000), (999, 1000), (50, 1_000_000), (0, 1_000_000), (400_000, 1_000_000)):
        for c in (0.9, 0.95, 0.999):
            ci = stats.binomtest(k, n).proportion_ci(c, method="exact")
            out["clopper_pearson"].append({"k": k, "n": n, "confidence": c, "low": num(ci.low), "high": num(ci.high)})
    out["tables"] = []
    rng = np.random.default_rng(7)
    tables = [
        ([10, 20, 30], [20, 20, 20]),
        ([1000, 2000, 3000], [100, 200, 300]),
        ([900, 200], [100, 900]),
        ([500, 100, 100], [100, 500, 100]),
        ([40] * 40, list(map(int, rng.poisson(40, 40)))),
        (list(map(int, rng.multinomial(100_000, [1 / 40] * 40))), list(map(int, rng.multinomial(700, [1 / 40] * 40)))),
        ([600, 1, 400], [0, 300, 700]),
    ]
    for a, b in tables:
        x, p, df, e = stats.chi2_contingency([a, b], correction=False)
        assert e.min() >= 5, e.min()
        g, gp, _, _ = stats.chi2_contingency([a, b], correction=False, lambda_="log-likelihood")
        out["tables"].append({"a": a, "b": b, "df": int(df), "chi2": num(x), "chi2_p": num(p), "g": num(g), "g_p": num(gp)})
    # The same, with sparse columns pooled by hand as the Go side says it does.
    pooled = [
        (([50, 60, 3, 2, 1], [55, 58, 2, 4, 5]), ([50, 60, 6], [55, 58, 11])),
        (([50, 60, 1], [55, 58, 0]), ([51, 60], [55, 58])),
        (([50, 0, 60], [55, 0, 58]), ([50, 60], [55, 58])),
    ]
    for (a, b), (pa, pb) in pooled:
        x, p, df, _ = stats.chi2_contingency([pa, pb], correction=False)
        g, gp, _, _ = stats.chi2_contingency([pa, pb], correction=False, lambda_="log-likelihood")
        out["tables"].append({"a": a, "b": b, "df": int(df), "chi2": num(x), "chi2_p": num(p), "g": num(g), "g_p": num(gp)})
    out["proportions"] = []
    for k, n, l, m in ((10, 100, 20, 100), (500, 1000, 500, 1000), (300, 1000, 100, 10_000), (0, 500, 900, 10_000), (900, 1000, 100, 1000)):
        x, p, _, _ = stats.chi2_contingency([[k, n - k], [l, m - l]], correction=False)
        out["proportions"].append({"k": k, "n": n, "l": l, "m": m, "z2": num(x), "p": num(p)})
    out["fisher"] = []
    for k, n, l, m in (
        (1, 50, 0, 1000), (5, 50, 0, 20_000), (2, 50, 100, 20_000), (25, 50, 3, 20_000), (30, 1000, 10_000, 1_000_000), (300, 1000, 10_000, 1_000_000),
        (5, 1000, 10_000, 1_000_000), (50, 50, 0, 1_000_000), (400, 800, 5, 700), (3, 10, 2, 8), (700, 5000, 14_000, 100_000), (9, 10, 90, 100),
    ):
        t = mp.mpf(0)
        for j in range(k, min(n, k + l) + 1):
            if k + l - j <= m:
                t += mp.binomial(n, j) * mp.binomial(m, k + l - j)
        t /= mp.binomial(n + m, k + l)
        close(stats.fisher_exact([[k, n - k], [l, m - l]], alternative="greater").pvalue, t, 1e-6)
        out["fisher"].append({"k": k, "n": n, "l": l, "m": m, "p": num(t)})
    out["ks"] = []
    for n, m, d in ((50, 80, 0.2), (1000, 50_000, 0.05), (500, 500, 0.1), (2000, 30_000, 0.3), (100_000, 100_000, 0.06)):
        e = n * m / (n + m)
        out["ks"].append({"n": n, "m": m, "d": d, "p": num(stats.kstwo.sf(d, round(e)))})
    json.dump(out, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
