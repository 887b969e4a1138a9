"""Writes golden.json: statistics and likelihoods computed another way.

Made with scipy 1.17.1, numpy 2.4.6 (Python 3):
    python3 gen.py > golden.json
`scores` integrates the normal density over each bin instead of using its
closed form. `omnibus` takes an explicit orthonormal basis (QR) where the
program has a kernel. `kalman` is the multivariate normal density of the whole
series where the program has a filter. `rate` sums over the exact binomial law.
"""
import json

import numpy as np
import scipy
from scipy import integrate, stats

rng = np.random.default_rng(5)
out = {"made_with": f"scipy {scipy.__version__}, numpy {np.__version__}"}

# Location, scale and shape of one window of a number.
ref = rng.multinomial(5000, [.05, .1, .3, .2, .15, .1, .06, .04])
win = rng.multinomial(300, [.03, .08, .25, .22, .2, .12, .06, .04])
p = (ref + .5) / (ref.sum() + len(ref) / 2)
z = stats.norm.ppf(np.concatenate([[0], np.cumsum(p)[:-1], [1]]))
a = np.array([integrate.quad(lambda x: x * stats.norm.pdf(x), z[i], z[i + 1])[0] for i in range(len(p))]) / p
c = np.array([integrate.quad(lambda x: (x * x - 1) * stats.norm.pdf(x), z[i], z[i + 1])[0] for i in range(len(p))]) / p
unit = np.sqrt((p * a * a).sum())
a, c = a / unit, c / unit**2
n, q = win.sum(), win / win.sum()
y = (q * a).sum()


def var(window, reference):
    return (n * window + 10 * reference) / (n * (n + 10))


e = (c - 2 * y * a + y * y) / 2
P = ref / ref.sum()
B = np.column_stack([np.ones(len(P)), a, c]) * np.sqrt(P)[:, None]
Q, _ = np.linalg.qr(np.column_stack([B, np.eye(len(P))]))
H = Q[:, 3:len(P)] / np.sqrt(P)[:, None]  # orthonormal under P, without 1, location and scale
s = H.T @ q
u = (n * (s**2).sum() - ((q[:, None] * H**2).sum())) / (n - 1)
d = H.shape[1]
# What a normal law with that location and scale shows beyond them.
v = 2 * (q * e).sum()
leak = (y**3 + 3 * y * v) ** 2 / 6 + (y**4 + 6 * y * y * v + 3 * v * v) ** 2 / 24
out["number"] = {
    "ref": ref.tolist(), "win": win.tolist(),
    "location": [y, var((q * a * a).sum() - y * y, (p * a * a).sum())],
    "scale": [(q * e).sum(), var((q * e * e).sum() - (q * e).sum() ** 2, (p * c * c).sum() / 4)],
    "shape": [np.sqrt(max(0, u + d / n)) - np.sqrt(d / n + leak),
              (max(0, u) + d / n / 2) / (n * (max(0, u) + d / n)) + leak],
}

# Rates: the statistic less its exact bias at the reference's rate.
rates = []
for k, n, rk, rn in [(0, 3, 0, 1000), (5, 100, 10, 1000), (40, 2000, 30, 1000), (1, 50, 2, 1000), (3, 3, 990, 1000)]:
    r = rk / rn
    ks = np.arange(n + 1)
    t = 2 * np.arcsin(np.sqrt((ks + .375) / (n + .75)))
    bias = (stats.binom.pmf(ks, n, r) * t).sum() - 2 * np.arcsin(np.sqrt(r))
    rates.append({"k": k, "n": n, "rk": rk, "rn": rn, "y": t[k] - bias, "r": 1 / (n + .5)})
out["rates"] = rates

# The e-value of one bet.
out["ratios"] = [
    {"nu": nu, "z": zz, "zero": z0, "at": z1,
     "e": float(np.exp(stats.t.logpdf(zz - z1, nu) - stats.t.logpdf(zz - z0, nu)))}
    for nu in (2, 5, 6, 20) for zz, z0, z1 in [(0., .1, .2), (1.5, .1, .8), (6., .5, 8.), (-4., .1, 1.6)]
]

# Log-likelihood of AR(1) with known sampling variances and gaps.
phi, tau2 = .7, .02
T = 40
r = rng.uniform(.001, .03, T)
good = rng.random(T) > .2
C = tau2 * phi ** np.abs(np.subtract.outer(np.arange(T), np.arange(T))) + np.diag(r)
x = rng.multivariate_normal(np.zeros(T), C)
C, xx = C[np.ix_(good, good)], x[good]
ll = stats.multivariate_normal.logpdf(xx, np.zeros(len(xx)), C)
out["kalman"] = {"phi": phi, "tau2": tau2, "u": x.tolist(), "r": r.tolist(), "good": good.tolist(),
                 "minus2": float(-2 * ll - len(xx) * np.log(2 * np.pi))}

# Scale of t, its likelihood, tails.
t = stats.t.rvs(5, scale=1.3, size=400, random_state=rng)
_, _, sc = stats.t.fit(t, fdf=5, floc=0)
out["tail"] = {"z": t.tolist(), "nu": 5, "scale": sc, "loglik": float(stats.t.logpdf(t, 5, scale=sc).sum())}
out["p"] = [{"nu": nu, "z": zz, "p": float(2 * stats.t.sf(zz, nu))} for nu in (4, 8, 20) for zz in (0., 1., 2.5, 5.)]
out["poisson"] = [{"mean": m, "limit": int(stats.poisson.ppf(.95, m))} for m in (0, .25, .5, 2, 8, 40)]
out["poisson_upper"] = [{"k": k, "upper": float(stats.chi2.ppf(.95, 2 * (k + 1)) / 2)} for k in (0, 1, 3, 12)]
json.dump(out, __import__("sys").stdout, indent=1)
print()
