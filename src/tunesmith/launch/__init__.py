"""Where a recipe runs.

Threads that wait must not take the processor from those that work; OpenMP reads that from the environment when torch is first
imported, which the modules below do, so it is said here.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
