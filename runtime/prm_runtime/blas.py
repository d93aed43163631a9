"""One thread for numpy's linear algebra; command lines import this before anything that imports numpy.

The random walk solves systems of some 500 unknowns. That takes 5 ms on one thread; several threads wait for
each other and for the inference engine, and take 10 to 100 times as long on a busy machine. Set the variables
yourself to overrule this.
"""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_variable, "1")
