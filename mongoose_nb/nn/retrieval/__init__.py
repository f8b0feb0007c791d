"""Which outputs a prediction scores: all, or those that hash tables trained for it retrieve."""
