"""The driver of the benchmarks: what is measured, how, and how the table is made."""
