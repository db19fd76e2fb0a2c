"""The derivative table, continued: taking, putting and selecting."""
