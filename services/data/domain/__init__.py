"""What datasets, versions, uploads and pipelines are. Pure: no I/O, no protobuf, no SQL."""
