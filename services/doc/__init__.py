"""The doc service: documentation in versions, searched, validated, published."""
