"""What is written to customers, and how it is sent."""
