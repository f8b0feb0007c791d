"""What the papers claim, and what we measured of it. One file a topic; each reads the figures that a benchmark kept."""
