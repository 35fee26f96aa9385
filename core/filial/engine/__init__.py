"""How a recipe runs: a file per verb, stages that are whole or not there, data set, training, judging, plan."""
