"""What the project's own checks are made of. Nothing of it ships."""
