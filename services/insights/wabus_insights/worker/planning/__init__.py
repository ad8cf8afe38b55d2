"""What acts ahead of the invoice: reads what Meta charges, tells of budgets, works advice out."""
