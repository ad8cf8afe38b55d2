"""What Meta bills, by dated rules, and what it says of it afterwards."""
