"""The tests. `support/` holds what several of them use; no test imports another."""

import pytest

pytest.register_assert_rewrite("tests.support")  # so that asserts of helpers explain themselves too
