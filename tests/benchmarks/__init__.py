"""Benchmarks that anybody can run: `python -m tests.benchmarks`. Ratios within one run, never a test's verdict."""
