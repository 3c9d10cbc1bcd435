"""agent: runs tasks; owns nothing."""
