"""Conformance suites and tiny networks, for the tests of dsrna and of parts that others add to it."""
