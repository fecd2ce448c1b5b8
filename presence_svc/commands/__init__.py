"""The commands of `presence-svc`: one module per verb, imported by cli when it is called."""
