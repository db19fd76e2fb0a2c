"""The derivative table, continued: ufuncs beyond the basics."""
