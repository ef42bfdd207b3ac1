"""A run's figures as text and pictures, and the card of its bundle."""
