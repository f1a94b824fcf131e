"""What people read: answers as text, rows and files. Nothing is computed here."""
