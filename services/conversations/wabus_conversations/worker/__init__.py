"""Events become rows, and rows are deleted when their time is over."""
