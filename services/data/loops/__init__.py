"""What goes on by itself: following tasks, forgetting uploads, deleting blobs nobody refers to."""
