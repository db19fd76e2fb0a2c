"""The derivative table, continued: linear algebra on stacks of matrices."""
