"""What runtimes and papers do, restated under their names."""
