"""Ways to reach a person, one module each, both directions. A channel knows no other."""
