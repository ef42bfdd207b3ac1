"""What the data is inspected for before anything is trained; one file an inspection."""
