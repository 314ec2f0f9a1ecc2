"""What every test shares: how hard the property tests look."""

import os

from hypothesis import settings

# `make test PYTEST_ARGS=--hypothesis-profile=slow` looks ten times harder.
# No deadline: a shared machine stalls.
settings.register_profile("fast", max_examples=30, deadline=None)
settings.register_profile("slow", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
