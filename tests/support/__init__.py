"""What tests share: places, the product's own command line, and real services."""
