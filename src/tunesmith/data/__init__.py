"""Files to typed rows, split and audited."""
