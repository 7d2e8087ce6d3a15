"""Tables, figures and reports of an evaluation."""
