"""Changes of single items in the texts of a configuration; comments and order are kept."""
