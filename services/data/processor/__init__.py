"""The program that makes versions of datasets: `python -m services.data.processor FOLDER`. Files in, files out."""
