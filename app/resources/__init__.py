"""What clients get back, as JSON."""
