"""What can be added to any relaxation: penalties on the alphas, changes of the weights that a step sees."""
