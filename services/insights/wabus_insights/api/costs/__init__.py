"""What is asked and answered about costs and prices."""
