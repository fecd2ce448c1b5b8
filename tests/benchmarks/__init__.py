"""Benchmarks that anybody can run: `python -m tests.benchmarks`. Ratios in one run, no verdicts."""
