"""Ways in which the weights may change; one file a family."""
