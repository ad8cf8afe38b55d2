"""What is wrong with an account, part by part: each reason with a sentence, a remedy, and what can be done at once."""
