"""SOLAR, LGD, LSH Label, angular hardness and serving by a target, each beside what it competes with."""
