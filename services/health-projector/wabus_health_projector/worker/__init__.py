"""What acts: the projection, active checks, verdicts that change, alerts, rebuilds."""
