"""The derivative table, continued: sorting, order statistics, running extremes."""
