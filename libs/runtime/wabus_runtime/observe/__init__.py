"""What a process tells of itself: logs, traces, and whether its loops still turn."""
