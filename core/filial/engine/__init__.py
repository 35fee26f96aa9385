"""Run a recipe: stages (a file per verb, each complete or absent), data set, training, judging, plan."""
