"""The program that trains: `python -m services.model.trainer FOLDER`. Files in, files out, progress on stdout."""
