"""Hypothesis profiles: `quick` (the default: the same examples each run), `full` (20 times as many, random).

    GRADSZ_TEST_PROFILE=full pytest tests
"""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))      # oracle, strategies, wire

from hypothesis import HealthCheck, settings  # noqa: E402

PROFILE = os.environ.get("GRADSZ_TEST_PROFILE", "quick")
COMMON = dict(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("quick", max_examples=100, derandomize=True, **COMMON)
settings.register_profile("full", max_examples=2000, print_blob=True, **COMMON)
settings.load_profile(PROFILE)


@pytest.fixture
def cpu_mask():
    """Set the features that the core may use; all of them again afterwards."""
    from gradsz import _core
    before = _core.set_cpu_mask(None)
    yield _core.set_cpu_mask
    _core.set_cpu_mask(before)
