"""The program that builds a site: `python -m services.doc.builder FOLDER`. It knows files only, no database."""
