"""The stages: records in, records out, and every record that does not go on is a drop with a reason."""
