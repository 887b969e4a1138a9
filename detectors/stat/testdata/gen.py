"""Writes golden.json: reference values for the Go tests beside it.

Made with scipy 1.17.1, numpy 2.4.6 (Python 3):
    python3 gen.py > golden.json
"""
import json
import sys

import numpy as np
import scipy
from scipy import special, stats


def num(x):
    """A float with all its digits; JSON has no infinities, none occur."""
    x = float(x)
    assert np.isfinite(x), x
    return x


def main():
    out = {"tool": f"scipy {scipy.__version__}, numpy {np.__version__}"}
    out["normal"] = [
        {"z": z, "p": num(stats.norm.sf(z))} for z in (-40, -8.2, -1, 0, 0.5, 1.96, 5, 8.2, 8.3, 12, 20, 30, 37)
    ]
    out["kolmogorov"] = [
        {"lambda": x, "p": num(special.kolmogorov(x))}
        for x in (0.05, 0.2, 0.3, 0.5, 0.8, 1, 1.17, 1.18, 1.19, 1.36, 2, 3, 4, 6, 8.5, 11, 15, 18)
    ]
    out["ks"] = []
    for n, m, d in ((50, 80, 0.2), (1000, 50_000, 0.05), (500, 500, 0.1), (2000, 30_000, 0.3), (100_000, 100_000, 0.06)):
        e = n * m / (n + m)
        out["ks"].append({"n": n, "m": m, "d": d, "p": num(stats.kstwo.sf(d, round(e)))})
    json.dump(out, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
