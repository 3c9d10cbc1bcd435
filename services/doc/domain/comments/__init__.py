"""What people say about documents and reviews, and where in the text they mean."""
