"""What is asked ahead of the invoice: budgets, the forecast, the comparison with Meta, advice."""
