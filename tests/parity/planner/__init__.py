"""Runners of the planner's golden files, by what they compare."""
