"""What driftd costs and how it behaves, beside a peer or a floor in the same run: `make bench`, docs/benchmarks.md."""
