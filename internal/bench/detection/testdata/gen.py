"""Writes golden.json: what river, scipy and NannyML say of the same numbers.

Made with river 0.26.1, scipy 1.17.1, nannyml 0.13.1, numpy 2.4.6 (Python 3.11):
    python3 gen.py > golden.json
"""
import json
import sys

import nannyml as nml
import numpy as np
import pandas as pd
import river
import scipy
from river import drift
from scipy import stats

out = {"tool": {"river": river.__version__, "scipy": scipy.__version__, "nannyml": nml.__version__, "numpy": np.__version__}}
rng = np.random.default_rng(7)
series = []
a = np.concatenate([rng.normal(0,1,600), rng.normal(1.5,1,400), rng.normal(1.5,3,300), rng.normal(-1,1,500)])
b = np.round(np.concatenate([rng.normal(0,.1,300), rng.normal(.05,.1,300), rng.normal(.4,.1,300)]),4)
c = np.concatenate([rng.random(1000) < .1, rng.random(1000) < .3]).astype(float)
for x in (a, b, c):
    x = [float(round(v, 6)) for v in x]
    entry = {"values": x, "adwin": [], "page_hinkley": []}
    for p in ({}, {"delta": .05}, {"delta": .5, "clock": 1}, {"delta":.002,"clock":1,"grace_period":5,"min_window_length":2}):
        d = drift.ADWIN(**p); at = []; widths=[]
        for i, v in enumerate(x):
            d.update(v)
            if d.drift_detected: at.append(i)
            if i % 50 == 49: widths.append(int(d.width))
        entry["adwin"].append({"parameters": p, "detected": at, "widths": widths})
    for p in ({}, {"threshold": 5}, {"threshold": 1, "delta": .05, "alpha": .99}, {"threshold": 20, "min_instances": 100}):
        d = drift.PageHinkley(**p); at = []
        for i, v in enumerate(x):
            d.update(v)
            if d.drift_detected: at.append(i)
        entry["page_hinkley"].append({"parameters": p, "detected": at})
    series.append(entry)
out["series"] = series
# KS p-values of counts in bins: values are the bin numbers
ks = []
for n, m, sh in ((200, 5000, 0), (200, 5000, 3), (2000, 60000, 1), (2000, 60000, 0), (150, 100000, 2)):
    ref = rng.integers(0, 40, m); cur = np.clip(rng.integers(0, 40, n) + sh, 0, 39)
    r = stats.ks_2samp(ref, cur, method="asymp")
    ks.append({"ref": np.bincount(ref, minlength=40).tolist(), "win": np.bincount(cur, minlength=40).tolist(), "d": float(r.statistic), "p": float(r.pvalue)})
out["ks"] = ks
# NannyML's rule: Jensen-Shannon by chunk, threshold mean + 3 sd of the reference's chunks.
n_chunks, rows = 40, 500
lev = rng.normal(0, .08, n_chunks + 12)
cats = "abcdefgh"
def chunk(l):
    z = rng.normal(l, 1, rows)
    return np.clip(np.floor((z + 3) / .75), 0, 7).astype(int)
ref = [chunk(l) for l in lev[:n_chunks]]
ana = [chunk(l + (.5 if i >= 8 else 0)) for i, l in enumerate(lev[n_chunks:])]
f = lambda cs: pd.DataFrame({"x": pd.Categorical([cats[v] for k in cs for v in k])})
calc = nml.UnivariateDriftCalculator(column_names=["x"], categorical_methods=["jensen_shannon"], chunk_size=rows,
    thresholds={"jensen_shannon": nml.thresholds.StandardDeviationThreshold()})
calc.fit(f(ref)); res = calc.calculate(f(ana))
df = res.to_df()["x"]["jensen_shannon"]
out["nannyml"] = {"reference": [np.bincount(k, minlength=8).tolist() for k in ref], "analysis": [np.bincount(k, minlength=8).tolist() for k in ana],
    "values": [float(v) for v in df["value"]], "alerts": [bool(v) for v in df["alert"]], "upper": float(df["upper_threshold"].iloc[-1])}
json.dump(out, sys.stdout)
