"""Workplaces: thin fronts on `fetal_monai.inference.Predictor` and on the bundle."""
