"""What messages cost: folds them into days, gives days their prices, deletes what is past its time."""
