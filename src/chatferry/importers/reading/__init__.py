"""What several formats are read with: JSON, tables, HTML, markdown, names of files, times."""
