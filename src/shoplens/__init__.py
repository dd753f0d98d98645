"""shoplens: one visual representation of listings, proved on held-out data and served."""

import os

__version__ = "0.1.0"

# OpenMP's threads spin while they wait for each other. With anything else running on the machine the spinning takes the
# core from the thread that is waited for: training was measured 7 to 20 times slower. Read when torch is first loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
