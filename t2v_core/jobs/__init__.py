"""Long work outside the page: submitted, watched, cancelled and resumed through the bank."""
