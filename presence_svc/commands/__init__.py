"""What each command of `presence-svc` does: one module per verb, imported by cli when it is called."""
