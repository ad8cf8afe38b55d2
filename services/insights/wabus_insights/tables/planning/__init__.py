"""What is known ahead of the invoice: budgets, what Meta says that messages cost, advice."""
